"""Size of prediction and losses for training crops that show only parts of images."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from unimask.checkpoints import ModelDescription
from unimask.config import CriterionConfig, PreprocessingConfig
from unimask.datasets import Dataset, Sample
from unimask.errors import UnimaskError
from unimask.training.plan.facts import PredictionSizeChanged
from unimask.training.plan.losses import (
    losses_for,
    no_object_weight,
    samples_points,
    selects_queries,
)
from unimask.training.settings import TrainingSettings

LARGE = 0.5
"""Side of objects, as a share of the crop's side, above which most crops do not contain them whole.

Crops smaller than images show parts of them. If objects are small, such as nuclei or cracks, parts
suffice, and trained weights work at their own scale; a street or a dog would be learned in parts
but predicted as a whole.
"""

SAMPLED_IMAGES, SAMPLED_SIDE = 20, 256
"""Number of evenly spaced images to read, and shorter side in pixels to find regions at."""


def choose_scale(
    dataset: Dataset,
    model: ModelDescription,
    crop: int,
    requested: TrainingSettings,
    *,
    new_head: bool,
) -> tuple[dict[str, Any], PredictionSizeChanged | None]:
    """Choose a size of prediction and losses that suit the training crops.

    Args:
        dataset: Training images.
        model: Description of the network, with its size of prediction.
        crop: Side of the training crop in pixels.
        requested: Settings that were given; given preprocessing and criterion are kept.
        new_head: Whether a trained network has a new class head.

    Returns:
        The chosen settings by name, and the change of the size, if any.
    """
    edge, chosen, change = model.preprocessing.shortest_edge, {}, None
    squashes = model.preprocessing.squash is not None
    is_fixed = squashes or model.preprocessing.keep_scale
    may_resize = new_head and requested.preprocessing is None and crop < edge and not is_fixed
    may_choose = requested.criterion is None and samples_points(model)
    may_weigh = may_choose and selects_queries(model) and not squashes
    side = typical_object_side(dataset) if may_resize or may_weigh else 0.0
    if may_resize and side * edge > LARGE * crop:
        chosen["preprocessing"] = at_edge(model.preprocessing, crop)
        change = PredictionSizeChanged(old=edge, new=crop)
        edge = crop
    if may_choose:
        criterion = losses_for(crop)
        if may_weigh:
            weight = no_object_weight(edge / crop, side * edge / crop)
            criterion = replace(criterion, no_object_weight=weight)
        if criterion != CriterionConfig():
            chosen["criterion"] = criterion
    return chosen, change


def at_edge(preprocessing: PreprocessingConfig, edge: int) -> PreprocessingConfig:
    """Set the shorter side of preprocessing, and scale the limit of the longer side with it."""
    longest = round(preprocessing.longest_edge * edge / preprocessing.shortest_edge)
    return replace(preprocessing, shortest_edge=edge, longest_edge=longest)


def typical_object_side(dataset: Dataset) -> float:
    """Compute the side of objects above which half of the labelled area lies.

    Objects are things, or without things connected regions of stuff; of two stuff classes only the
    rarer one, since the other is background. The side is the root of the area as a share of the
    image's shorter side; 0 if nothing is labelled.
    """
    is_thing = np.array(dataset.labels.is_thing)
    objects: list[tuple[int, float]] = []
    for index in range(0, len(dataset), -(-len(dataset) // SAMPLED_IMAGES)):
        try:
            sample = dataset[index]
        except UnimaskError:  # training reports the error
            continue
        pieces = thing_areas(sample, is_thing) if is_thing.any() else region_areas(sample)
        objects += [(label, area / min(sample.size) ** 2) for label, area in pieces]
    if not objects:
        return 0.0
    labels, areas = (np.array(column) for column in zip(*objects, strict=True))
    if not is_thing.any() and len(is_thing) == 2:
        covered = np.bincount(labels, areas, minlength=2)
        areas = areas[labels == covered.argmin()]
    areas = np.sort(areas)
    share = areas.cumsum()
    return float(np.sqrt(areas[np.searchsorted(share, share[-1] / 2)]))


def thing_areas(sample: Sample, is_thing: np.ndarray) -> list[tuple[int, int]]:
    """Return class and area of all things except crowds."""
    pixels = np.zeros(len(sample.label_ids) + 1, np.int64)
    for layer in sample.id_maps:
        pixels += np.bincount(layer.ravel(), minlength=len(pixels))
    counted = np.flatnonzero(~sample.crowds & is_thing[sample.label_ids])
    return [(int(sample.label_ids[i]), int(pixels[i + 1])) for i in counted]


def region_areas(sample: Sample) -> list[tuple[int, int]]:
    """Return class and approximate area of all connected regions of stuff."""
    step = max(1, min(sample.size) // SAMPLED_SIDE)
    maps, regions = sample.id_maps[:, ::step, ::step], []
    for number, label in enumerate(sample.label_ids.tolist(), start=1):
        numbered, _ = ndimage.label((maps == number).any(0))  # type: ignore[misc]
        regions += [(label, int(area) * step**2) for area in np.bincount(numbered.ravel())[1:]]
    return regions
