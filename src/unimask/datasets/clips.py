"""Clips for training: some frames of a video, with the same objects in every frame."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int

from unimask.datasets.interface import Dataset
from unimask.datasets.sample import Sample
from unimask.datasets.videos import find_videos
from unimask.errors import DataError
from unimask.labels import LabelSet
from unimask.outputs import Target

CLIP_FRAMES = 2
"""Number of frames of a clip in training (`SAMPLING_FRAME_NUM` of the authors)."""

CLIP_RANGE = 20
"""Largest distance of its other frames from the first drawn one (`SAMPLING_FRAME_RANGE`)."""


class ClipSampler:
    """Random choice of the frames of clips.

    Args:
        dataset: Labelled videos.

    Raises:
        DataError: The labels do not identify objects through videos.
    """

    def __init__(self, dataset: Dataset) -> None:
        videos = find_videos(dataset)
        if not videos:
            raise DataError(
                f"{dataset.name} has no ids of objects through videos, on which networks of clips "
                "are trained: label videos as YouTube-VIS, MOTS or KITTI-STEP"
            )
        self.places = {
            index: (video.frames, place)
            for video in videos
            for place, index in enumerate(video.frames)
        }

    def draw(self, index: int, random: np.random.Generator) -> list[int]:
        """Draw the frames of a clip, in the order of time.

        Args:
            index: Index of an image, which the clip contains.
            random: Random generator.

        Returns:
            Indices of images; that of an image without other frames is repeated.
        """
        frames, place = self.places.get(index, ((index,), 0))
        near = [
            other
            for other in range(max(0, place - CLIP_RANGE), min(len(frames), place + CLIP_RANGE + 1))
            if other != place
        ]
        others = random.choice(near or [place], CLIP_FRAMES - 1).tolist()
        return [frames[other] for other in sorted([place, *others])]


def build_clip_targets(samples: Sequence[Sample], labels: LabelSet) -> list[Target]:
    """Build the target of each frame of a clip, for instance segmentation.

    All frames have the same objects in the same order: the things that are visible in any of them.
    The mask of an object is empty where it is hidden. Crowds, and things without a track, are
    ignored pixels; stuff is background.

    Args:
        samples: Frames with `track_ids`, of equal size.
        labels: Label set.
    """
    things = np.asarray(labels.is_thing)
    numbers = [visible_tracks(sample, things) for sample in samples]
    classes = {track: label for frame in numbers for track, (_, label) in frame.items()}
    order = sorted(classes, key=lambda track: (classes[track], track))
    label_ids: Int[torch.Tensor, " n"] = torch.tensor(
        [classes[track] for track in order], dtype=torch.long
    )
    targets = []
    for sample, frame in zip(samples, numbers, strict=True):
        masks = torch.zeros(len(order), *sample.size, dtype=torch.bool)
        for row, track in enumerate(order):
            if track in frame:
                masks[row] = torch.from_numpy(sample.mask(frame[track][0]))
        ignored = np.zeros(sample.size, bool) if sample.ignored is None else sample.ignored.copy()
        for number in np.flatnonzero(untracked_things(sample, things)) + 1:
            ignored |= sample.mask(int(number))
        unknown = torch.from_numpy(ignored) if ignored.any() else None
        targets.append(Target(label_ids, masks, unknown))
    return targets


def untracked_things(sample: Sample, things: np.ndarray) -> np.ndarray:
    """Mark the objects of a frame that are crowds, or things without a track."""
    assert sample.track_ids is not None
    return sample.crowds | (things[sample.label_ids] & (sample.track_ids < 0))


def visible_tracks(sample: Sample, things: np.ndarray) -> dict[int, tuple[int, int]]:
    """Return number and class of each visible thing of a frame, by its track."""
    assert sample.track_ids is not None
    present = np.unique(sample.id_maps)
    rows = present[present > 0] - 1
    rows = rows[~untracked_things(sample, things)[rows] & things[sample.label_ids[rows]]]
    return {
        int(sample.track_ids[row]): (int(row) + 1, int(sample.label_ids[row]))
        for row in rows.tolist()
    }
