"""Dice, HD95 and NSD in mm of the cases of a dataset of volumes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from unimask.datasets import Dataset, Sample
from unimask.datasets.volumes.case import VolumeCase
from unimask.datasets.volumes.dataset import VolumeDataset
from unimask.errors import SettingsError
from unimask.labels import LabelSet, is_background
from unimask.metrics import VolumeScores
from unimask.metrics.volume_scores import DEFAULT_TOLERANCE
from unimask.results import Result


class CaseCollector:
    """Collector of the slices of cases, which scores each case when its last slice is added.

    Slices have to be added in the order of the dataset. Voxels without ground truth count as
    background in prediction and ground truth.

    Args:
        dataset: Dataset of volumes.
        labels: Label set in which results and ground truth are scored.
        tolerance: Tolerance of NSD in mm.

    Raises:
        SettingsError: The tolerance is no distance.
    """

    def __init__(self, dataset: VolumeDataset, labels: LabelSet, tolerance: float) -> None:
        self.dataset, self.tolerance = dataset, tolerance
        ids = {name: index for index, name in enumerate(labels.names) if not is_background(name)}
        self.background = next((i for i, n in enumerate(labels.names) if is_background(n)), -1)
        self.scores = VolumeScores(ids, tolerance)
        self.next = 0
        self.positions: list[int] = []
        self.predicted: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []

    def add(self, result: Result, sample: Sample) -> None:
        """Add the next slice."""
        index, position = self.dataset.samples[self.next]
        known = np.ones(sample.size, bool) if sample.ignored is None else ~sample.ignored
        lookup = np.append(self.background, sample.label_ids).astype(np.int16)
        truth = lookup[sample.id_maps[0]]
        found = np.where(known, result.segmentation, self.background)
        self.positions.append(position)
        self.predicted.append(found.astype(np.int16))
        self.truth.append(np.where(known, truth, self.background).astype(np.int16))
        self.next += 1
        if self.next == len(self.dataset) or self.dataset.samples[self.next][0] != index:
            case = self.dataset.cases[index]
            maps = [self.on_grid(slices, case) for slices in (self.predicted, self.truth)]
            self.scores.update(case.name, maps[0], maps[1], case.grid.spacing)
            self.positions, self.predicted, self.truth = [], [], []

    def on_grid(self, slices: Sequence[np.ndarray], case: VolumeCase) -> np.ndarray:
        """Return displayed slices as an array in the order of the image's voxels.

        Areas of surfaces depend slightly on that order, which files have too. Slices that are no
        samples are background.
        """
        values = np.full(case.grid.shape, self.background, slices[0].dtype)
        case.plane.view(values)[self.positions] = np.stack(slices)
        return values

    def report(self) -> dict[str, Any]:
        """Return means, scores per structure and scores per case."""
        return {
            "tolerance_mm": self.tolerance,
            "metrics": self.scores.compute(),
            "per_structure": self.scores.per_structure(),
            "cases": {
                case: {
                    name: {"Dice": score.dice, "HD95": score.hd95, "NSD": score.nsd}
                    for name, score in scores.items()
                }
                for case, scores in self.scores.cases.items()
            },
        }


def collect_cases(
    dataset: Dataset, labels: LabelSet, tolerance: float | None
) -> CaseCollector | None:
    """Return the collector for a dataset of volumes; None for images.

    Raises:
        SettingsError: A tolerance was given for images, or is no distance.
    """
    if isinstance(dataset, VolumeDataset):
        return CaseCollector(dataset, labels, DEFAULT_TOLERANCE if tolerance is None else tolerance)
    if tolerance is not None:
        raise SettingsError("tolerance (--tolerance) applies to volumes, not to images: omit it")
    return None
