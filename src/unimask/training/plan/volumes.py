"""Intensities and neighbouring slices of a network that is trained on volumes."""

from dataclasses import replace

from unimask.datasets import Dataset
from unimask.datasets.interface import HasSlices
from unimask.datasets.volumes.dataset import VolumeDataset
from unimask.training.plan.facts import IntensitiesMeasured
from unimask.training.plan.network import InitialNetwork
from unimask.training.request import Request


def with_volume_rules(
    initial: InitialNetwork, dataset: Dataset, request: Request
) -> InitialNetwork:
    """Set the window and the neighbouring slices with which a network sees volumes.

    Without a window that was given, or with which the network was trained before, it is measured on
    the training cases.

    Raises:
        DataError, ImageError: A case cannot be read.
    """
    if not isinstance(dataset, HasSlices):
        return initial
    description, facts = initial.description, initial.facts
    rules = replace(description.preprocessing, slices=dataset.slices)
    is_given = request.requested_settings().preprocessing is not None
    if isinstance(dataset, VolumeDataset) and rules.window is None and not is_given:
        measured = dataset.measure_intensities()
        rules = replace(rules, window=measured.window)
        facts = (*facts, IntensitiesMeasured(rule=measured))
    return replace(initial, description=replace(description, preprocessing=rules), facts=facts)
