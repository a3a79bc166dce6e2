"""At which size trained weights predict once they learn other classes."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from unimask.config import PreprocessingConfig
from unimask.datasets import Dataset, Sample
from unimask.errors import UnimaskError
from unimask.training.settings import TrainingSettings

LARGE = 0.5
"""Of a training square's side: what is larger does not fit into most squares."""

LOOKED_AT, LOOK = 20, 256
"""Pictures that are read, evenly spaced, and pixels of their shorter side that regions take."""


def scale_for(
    dataset: Dataset, preprocessing: PreprocessingConfig, settings: TrainingSettings
) -> tuple[TrainingSettings, str]:
    """Let pictures be as large as training squares where parts of them would not do.

    Squares smaller than pictures show parts of them. Where what is labelled is small, nuclei or
    cracks, parts are as good, and the weights know things at their own scale: it stays. A street or
    a dog would be learned in pieces and asked for as a whole.

    Args:
        dataset: To learn from.
        preprocessing: Of the weights.
        settings: Of the run.

    Returns:
        The settings, and a line on what changed; empty if nothing did.
    """
    own, crop = preprocessing.shortest_edge, settings.augmentation.crop
    if preprocessing.squash is not None or crop >= own:
        return settings, ""
    if usual_side(dataset) * own <= LARGE * crop:
        return settings, ""
    longest = round(preprocessing.longest_edge * crop / own)
    fitting = replace(preprocessing, shortest_edge=crop, longest_edge=longest)
    told = (
        f"\nit sees pictures at {crop} pixels from now on, instead of {own}: what is labelled is "
        "too large for training squares else"
    )
    return replace(settings, preprocessing=fitting), told


def usual_side(dataset: Dataset) -> float:
    """Give the side of pieces above which half of what is labelled lies.

    Pieces are things; where there are none, connected regions of stuff, of two classes those of the
    rarer one, since the other is a ground. The side is the root of the area, as a share of the
    picture's shorter side; 0 where nothing is labelled.
    """
    is_thing = np.array(dataset.labels.is_thing)
    found: list[tuple[int, float]] = []
    for index in range(0, len(dataset), -(-len(dataset) // LOOKED_AT)):
        try:
            sample = dataset[index]
        except UnimaskError:  # the run will tell
            continue
        pieces = things_of(sample, is_thing) if is_thing.any() else regions_of(sample)
        found += [(label, area / min(sample.size) ** 2) for label, area in pieces]
    if not found:
        return 0.0
    labels, areas = (np.array(column) for column in zip(*found, strict=True))
    if not is_thing.any() and len(is_thing) == 2:
        covered = np.bincount(labels, areas, minlength=2)
        areas = areas[labels == covered.argmin()]
    areas = np.sort(areas)
    share = areas.cumsum()
    return float(np.sqrt(areas[np.searchsorted(share, share[-1] / 2)]))


def things_of(sample: Sample, is_thing: np.ndarray) -> list[tuple[int, int]]:
    """Give class and pixels of all things, crowds left out."""
    pixels = np.zeros(len(sample.label_ids) + 1, np.int64)
    for layer in sample.id_maps:
        pixels += np.bincount(layer.ravel(), minlength=len(pixels))
    counted = np.flatnonzero(~sample.crowds & is_thing[sample.label_ids])
    return [(int(sample.label_ids[i]), int(pixels[i + 1])) for i in counted]


def regions_of(sample: Sample) -> list[tuple[int, int]]:
    """Give class and pixels of all connected regions of stuff, at a coarse look."""
    step = max(1, min(sample.size) // LOOK)
    maps, regions = sample.id_maps[:, ::step, ::step], []
    for number, label in enumerate(sample.label_ids.tolist(), start=1):
        numbered, _ = ndimage.label((maps == number).any(0))  # type: ignore[misc]
        regions += [(label, int(area) * step**2) for area in np.bincount(numbered.ravel())[1:]]
    return regions
