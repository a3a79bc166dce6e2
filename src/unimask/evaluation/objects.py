"""Conversion of samples and predictions to the objects that metrics compare."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from unimask.datasets import Sample
from unimask.formats.run_length import RunLength, encode_id_map
from unimask.labels import LabelSet
from unimask.metrics import Objects
from unimask.results import Result


def ground_truth_objects(sample: Sample, labels: LabelSet) -> Objects:
    """Return the things of a sample, crowds included; they may overlap.

    Areas are those of the annotation file, or else numbers of pixels. An object that was drawn too
    thin to have a pixel can only be missed, as in pycocotools.
    """
    masks: dict[int, RunLength] = {}
    empty = RunLength(sample.size, np.array([sample.size[0] * sample.size[1]], np.uint32))
    for layer in sample.id_maps:
        masks |= encode_id_map(layer)
    rows = np.flatnonzero(np.array(labels.is_thing)[sample.label_ids])
    object_masks = [masks.get(row + 1, empty) for row in rows.tolist()]
    areas = np.array([mask.area for mask in object_masks], np.float64)
    if sample.areas is not None:
        areas = np.where(np.isnan(sample.areas[rows]), areas, sample.areas[rows])
    return Objects.from_masks(
        object_masks, sample.label_ids[rows], crowds=sample.crowds[rows], areas=areas
    )


def ground_truth_label_map(sample: Sample) -> Int[np.ndarray, "h w"]:
    """Return the label id of the frontmost object of every pixel; -1 for crowds and unlabelled."""
    label_ids = np.array([-1, *sample.label_ids], np.int64)
    label_ids[1:][sample.crowds] = -1
    label_map = label_ids[sample.front]
    if sample.ignored is not None:
        label_map[sample.ignored] = -1
    return label_map


def void_pixels(sample: Sample) -> RunLength | None:
    """Return the unlabelled pixels outside objects; None if there are none."""
    if sample.ignored is None or sample.foreign is None:
        return None if sample.ignored is None else RunLength.from_mask(sample.ignored)
    return RunLength.from_mask(sample.ignored & ~sample.foreign)


def unlabelled_pixels(sample: Sample) -> RunLength | None:
    """Return the unlabelled pixels: ignored ones and those of crowds; None if there are none."""
    if sample.ignored is None and not sample.crowds.any():
        return None
    unlabelled = np.zeros(sample.size, bool) if sample.ignored is None else sample.ignored.copy()
    for layer in sample.id_maps:
        unlabelled |= np.isin(layer, np.flatnonzero(sample.crowds) + 1)
    return RunLength.from_mask(unlabelled)


def predicted_objects(result: Result) -> Objects:
    """Return the things of a prediction; segments without a score get a score of 1."""
    things = [segment for segment in result.segments if segment.is_thing]
    return Objects.from_masks(
        [segment.rle for segment in things],
        np.array([segment.label_id for segment in things], np.int64),
        scores=[1.0 if segment.score is None else segment.score for segment in things],
    )


def disjoint_masks(result: Result, min_score: float) -> list[RunLength]:
    """Return masks of things with at least this score, where the higher score is on top."""
    segments = (
        s for s in result.segments if s.is_thing and (s.score is None or s.score >= min_score)
    )
    ids = replace(result, segments=tuple(segments), task="instance").segmentation
    return list(encode_id_map(ids).values())
