"""How much of a picture a training square shows: sizes of prediction, and what depends on both."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from unimask.checkpoints import Checkpoint
from unimask.config import CriterionConfig, MaskedDecoderConfig, PreprocessingConfig
from unimask.datasets import Dataset, Sample
from unimask.errors import UnimaskError
from unimask.training.settings import TrainingSettings

LARGE = 0.5
"""Of a training square's side: what is larger does not fit into most squares. Squares smaller
than pictures show parts of them. Where what is labelled is small, nuclei or cracks, parts are as
good, and weights know things at their own scale; a street or a dog would be learned in pieces and
asked for as a whole."""

SMALL, MOST_TIMES = 0.1, 4.0
"""Of a square's side: of such things there are many. How much heavier "no object" becomes at most,
as `recipes/nuclei.py` has it."""

LOOKED_AT, LOOK = 20, 256
"""Pictures that are read, evenly spaced, and pixels of their shorter side that regions take."""


def fit_squares(
    dataset: Dataset, checkpoint: Checkpoint, settings: TrainingSettings, other_classes: bool
) -> tuple[TrainingSettings, str]:
    """Let what squares teach be what pictures ask for.

    Args:
        dataset: To learn from.
        checkpoint: The network, and its size of prediction.
        settings: Of the run; what they say of preprocessing and criterion stays.
        other_classes: Whether trained weights learn classes of others.

    Returns:
        The settings, and a line on what a person should know; empty if there is nothing.
    """
    own, crop = checkpoint.preprocessing.shortest_edge, settings.augmentation.crop
    scales = other_classes and settings.preprocessing is None and crop < own
    doubts = settings.criterion is None and proposes(checkpoint)
    if checkpoint.preprocessing.squash is not None or not (scales or doubts):
        return settings, ""
    side, told = usual_side(dataset), ""
    if scales and side * own > LARGE * crop:
        settings = replace(settings, preprocessing=at_edge(checkpoint.preprocessing, crop))
        told = (
            f"\nit sees pictures at {crop} pixels from now on, instead of {own}: what is labelled "
            f"is too large for training squares else (--size {own} would keep it)"
        )
        own = crop
    if doubts:
        weight = no_object_weight(own / crop, side * own / crop)
        settings = replace(settings, criterion=CriterionConfig(no_object_weight=weight))
    return settings, told


def proposes(checkpoint: Checkpoint) -> bool:
    """Say whether queries are taken from the picture: the larger it is, the more."""
    decoder = checkpoint.config.transformer_decoder
    return isinstance(decoder, MaskedDecoderConfig) and decoder.proposals > 0


def at_edge(preprocessing: PreprocessingConfig, edge: int) -> PreprocessingConfig:
    """Give the same for smaller pictures."""
    longest = round(preprocessing.longest_edge * edge / preprocessing.shortest_edge)
    return replace(preprocessing, shortest_edge=edge, longest_edge=longest)


def no_object_weight(larger: float, side: float) -> float:
    """Give the weight of "no object" where queries are taken from the picture.

    A picture of four squares has four times the queries of a square: their doubts, summed up over
    a pixel, would outvote the few that are right. Among small things neighbours bid for the same.

    Args:
        larger: Side of pictures in prediction, in squares.
        side: Of what is labelled, in squares.
    """
    times = MOST_TIMES if side <= SMALL else min(max(larger**2, 1.0), MOST_TIMES)
    return times * CriterionConfig().no_object_weight


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
