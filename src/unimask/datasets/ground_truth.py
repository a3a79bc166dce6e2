"""Convert the ground truth of a sample to a `Result`, to draw it or write it in other formats."""

import numpy as np

from unimask.datasets.sample import Sample
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet, Task
from unimask.processing.multichannel import to_displayable
from unimask.results import Result, Segment


def ground_truth_result(sample: Sample, labels: LabelSet, task: Task) -> Result:
    """Return the result of a perfect prediction, without crowds."""
    segments = []
    things = np.array(labels.is_thing)
    if task == "semantic":
        for label in np.unique(sample.label_ids[~sample.crowds]).tolist():
            numbers = np.flatnonzero((sample.label_ids == label) & ~sample.crowds) + 1
            rle = RunLength.from_mask(np.any(np.isin(sample.id_maps, numbers), axis=0))
            segments.append(Segment.from_rle(labels, label, rle, id=label + 1, score=None))
    else:
        for number, label in enumerate(sample.label_ids.tolist(), start=1):
            if sample.crowds[number - 1] or (task == "instance" and not things[label]):
                continue
            rle = RunLength.from_mask(sample.mask(number))
            segments.append(Segment.from_rle(labels, label, rle, id=number, score=None))
    return Result(
        task=task,
        size=sample.size,
        labels=labels,
        segments=tuple(segment for segment in segments if segment.area),
        path=sample.path,
        image=to_displayable(sample.image),
    )


def panoptic_segments(sample: Sample, is_thing: np.ndarray) -> np.ndarray:
    """Return the panoptic segment of each object: one per thing or crowd, one per stuff class."""
    segments = np.arange(1, len(sample.label_ids) + 1)
    stuff = ~is_thing[sample.label_ids] & ~sample.crowds
    for label in np.unique(sample.label_ids[stuff]):
        members = stuff & (sample.label_ids == label)
        segments[members] = segments[members].min()
    return segments
