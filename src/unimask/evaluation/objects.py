"""Sample and prediction as the objects that scores of objects compare."""

from dataclasses import replace

import numpy as np

from unimask.datasets import Sample
from unimask.formats.run_length import RunLength, run_lengths_of_ids
from unimask.labels import LabelSet
from unimask.metrics import Objects
from unimask.results import Result


def true_objects(sample: Sample, labels: LabelSet) -> Objects:
    """Give the things of a sample, crowds among them; they may overlap."""
    masks: dict[int, RunLength] = {}
    for layer in sample.id_maps:
        masks |= run_lengths_of_ids(layer)
    things = np.array(labels.is_thing)[sample.label_ids]
    numbers = [number for number in sorted(masks) if things[number - 1]]
    rows = np.array(numbers, np.int64) - 1
    return Objects.of_masks(
        [masks[number] for number in numbers], sample.label_ids[rows], crowds=sample.crowds[rows]
    )


def found_objects(result: Result) -> Objects:
    """Give the things of a prediction with their scores; one without a score is certain."""
    things = [segment for segment in result.segments if segment.is_thing]
    return Objects.of_masks(
        [segment.rle for segment in things],
        np.array([segment.label_id for segment in things], np.int64),
        scores=[1.0 if segment.score is None else segment.score for segment in things],
    )


def disjoint_masks(result: Result, least_score: float) -> list[RunLength]:
    """Give the things of at least this score, the higher score on top where they overlap."""
    chosen = (
        s for s in result.segments if s.is_thing and (s.score is None or s.score >= least_score)
    )
    ids = replace(result, segments=tuple(chosen), task="instance").segmentation
    return list(run_lengths_of_ids(ids).values())
