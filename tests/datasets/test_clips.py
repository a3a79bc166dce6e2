"""Clips for training: frames near each other, and objects that keep their places."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tool_exports import write_youtube_vis

from unimask.datasets import Sample, open_dataset
from unimask.datasets.clips import CLIP_RANGE, ClipSampler, build_clip_targets
from unimask.datasets.videos import Video
from unimask.errors import DataError
from unimask.labels import LabelSet

LABELS = LabelSet(("cat", "sky", "dog"), (True, False, True))


class Videos:
    """Dataset of frames of videos of given lengths; the frames of all videos alternate."""

    name, labels = "videos", LABELS

    def __init__(self, *lengths: int) -> None:
        order = [(place, video) for video, n in enumerate(lengths) for place in range(n)]
        index = {key: number for number, key in enumerate(sorted(order))}
        self.videos = [
            Video(str(video), video, tuple(index[place, video] for place in range(n)))
            for video, n in enumerate(lengths)
        ]

    @property
    def paths(self) -> list[Path]:
        return [Path(f"{number}.jpg") for number in range(len(self))]

    def __len__(self) -> int:
        return sum(len(video.frames) for video in self.videos)

    def __getitem__(self, index: int) -> Sample:
        raise IndexError(index)


@given(st.lists(st.integers(1, 70), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_frames_of_a_clip_are_near_each_other_and_in_order(lengths, seed):
    dataset = Videos(*lengths)
    sampler, random = ClipSampler(dataset), np.random.default_rng(seed)
    for video in dataset.videos:
        for place, index in enumerate(video.frames):
            drawn = sampler.draw(index, random)
            places = [video.frames.index(frame) for frame in drawn]
            assert len(places) == 2 and place in places and places == sorted(places)
            assert 0 <= places[1] - places[0] <= CLIP_RANGE
            assert places[0] != places[1] or len(video.frames) == 1


def test_all_near_frames_are_drawn():
    dataset, random = Videos(60), np.random.default_rng(0)
    sampler = ClipSampler(dataset)
    others = {f for _ in range(2000) for f in sampler.draw(dataset.videos[0].frames[30], random)}
    assert others == set(dataset.videos[0].frames[10:51])


def frame(ids: list[list[int]], tracks: list[int], classes: list[int], crowds=()) -> Sample:
    crowd = np.array([number in crowds for number in range(len(tracks))])
    return Sample(
        image=np.zeros((*np.shape(ids), 3), np.uint8),
        id_maps=np.array([ids]),
        label_ids=np.array(classes),
        crowds=crowd,
        ignored=None,
        path=Path("a.jpg"),
        track_ids=np.array(tracks),
    )


def test_objects_have_the_same_place_in_all_frames():
    first = frame([[1, 1, 2, 3]], [7, 4, -1], [2, 0, 1])  # a dog 7, a cat 4, the sky
    second = frame([[2, 0, 1, 3]], [5, 7, 6], [0, 2, 0])  # a cat 5, the dog 7, a cat 6
    targets = build_clip_targets([first, second], LABELS)
    assert [target.labels.tolist() for target in targets] == [[0, 0, 0, 2]] * 2
    masks = [target.masks.int().tolist() for target in targets]
    nothing = [[0, 0, 0, 0]]
    assert masks[0] == [[[0, 0, 1, 0]], nothing, nothing, [[1, 1, 0, 0]]]
    assert masks[1] == [nothing, [[0, 0, 1, 0]], [[0, 0, 0, 1]], [[1, 0, 0, 0]]]
    assert all(target.ignored is None for target in targets)


def test_crowds_and_things_without_a_track_are_ignored():
    sample = frame([[1, 2, 3, 0]], [3, -1, 8], [0, 0, 2], crowds=(0,))
    (target,) = build_clip_targets([sample], LABELS)
    assert target.labels.tolist() == [2] and target.ignored is not None
    assert target.ignored.tolist() == [[True, True, False, False]]
    (empty,) = build_clip_targets([frame([[0, 0]], [1], [0])], LABELS)
    assert len(empty.labels) == 0 and empty.masks.shape == (0, 1, 2)


def test_labelled_videos(tmp_path):
    dataset = open_dataset(write_youtube_vis(tmp_path), "train")
    sampler, random = ClipSampler(dataset), np.random.default_rng(0)
    frames = sampler.draw(1, random)
    targets = build_clip_targets([dataset[index] for index in frames], dataset.labels)
    assert all(torch.equal(target.labels, targets[0].labels) for target in targets)
    hidden = targets[frames.index(1)]  # the cat is hidden in the second frame
    assert hidden.masks.any((1, 2)).sum() == 1 and len(hidden.labels) == 2


def test_images_are_refused_in_one_line(discs):
    with pytest.raises(DataError, match="no ids of objects through videos"):
        ClipSampler(open_dataset(discs, "train"))
