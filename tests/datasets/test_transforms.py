"""Augmentation is deterministic for a given generator."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_discs
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.config import PreprocessingConfig
from unimask.datasets.sample import Sample, build_target
from unimask.datasets.transforms import Augmentation, augment
from unimask.label_sides import mirrored_label_ids
from unimask.labels import LabelSet

LABELS = LabelSet(("disc", "ground"), (True, False))
RULES = PreprocessingConfig(shortest_edge=96, longest_edge=200)
ALL_OPERATIONS = Augmentation(
    crop=64, min_scale=0.3, max_scale=2.5, rotate=True, colour=0.4, gamma=0.4,
    invert=0.5, grey=0.5, noise=9.0, blur=2.0,
)  # fmt: skip
NO_OPERATIONS = Augmentation(crop=96, min_scale=1.0, max_scale=1.0, flip=False, colour=0.0)


def make_sample(seed=0, size=(96, 128)):
    image, ids = draw_discs(seed, size)
    numbers = ids.astype(np.int32)
    count = int(numbers.max())
    numbers[numbers == 0] = count + 1
    return Sample(
        image=image,
        id_maps=numbers[None],
        label_ids=np.array([0] * count + [1]),
        crowds=np.zeros(count + 1, bool),
        ignored=None,
        path=Path("a.png"),
    )


SIDES = ("left_wing", "right_wing", "body")


def make_plane():
    """Return a picture whose left wing is dark and whose right wing is bright."""
    numbers = np.full((96, 96), 3, np.int32)
    numbers[30:60, :30], numbers[30:60, 66:] = 1, 2
    image = np.full((96, 96, 3), 120, np.uint8)
    image[numbers == 1], image[numbers == 2] = 20, 230
    return Sample(
        image=image,
        id_maps=numbers[None],
        label_ids=np.array([0, 1, 2]),
        crowds=np.zeros(3, bool),
        ignored=None,
        path=Path("plane.png"),
    )


@pytest.mark.parametrize("changes", [{"flip": True}, {"rotate": True}])
def test_mirrored_images_exchange_the_classes_of_the_sides(changes):
    rules = PreprocessingConfig(shortest_edge=96, longest_edge=200)
    sample, operations = make_plane(), replace(NO_OPERATIONS, **changes)
    numbers = sample.id_maps[0].copy()
    turned = {
        (np.rot90(each, turns).tobytes(), exchanged)
        for exchanged, each in enumerate((numbers, numbers[:, ::-1]))
        for turns in (range(4) if changes.get("rotate") else range(1))
    }
    seen = set()
    for seed in range(40):
        result = augment(
            sample, operations, rules, np.random.default_rng(seed), mirrored_label_ids(SIDES)
        )
        exchanged = int(result.label_ids.tolist() == [1, 0, 2])
        assert exchanged or result.label_ids.tolist() == [0, 1, 2]
        seen.add((result.id_maps[0].tobytes(), exchanged))
    assert seen == turned


def test_the_same_generator_gives_the_same_square():
    first, second = (
        augment(make_sample(), ALL_OPERATIONS, RULES, np.random.default_rng(4)) for _ in range(2)
    )
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.id_maps, second.id_maps)
    other = augment(make_sample(), ALL_OPERATIONS, RULES, np.random.default_rng(5))
    assert not np.array_equal(first.image, other.image)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.tuples(st.integers(1, 150), st.integers(1, 150)))
def test_squares_have_their_size_and_know_their_padding(seed, size):
    image = np.full((*size, 3), 200, np.uint8)
    sample = Sample(
        image, np.ones((1, *size), np.int32), np.array([0]), np.zeros(1, bool), None, Path()
    )
    square = augment(sample, ALL_OPERATIONS, RULES, np.random.default_rng(seed))
    assert square.image.shape == (64, 64, 3) and square.id_maps.shape == (1, 64, 64)
    padded = np.zeros((64, 64), bool) if square.ignored is None else square.ignored
    assert np.array_equal(square.id_maps[0] == 0, padded)
    assert not padded[0, 0]
    mean = np.rint(RULES.mean).astype(np.uint8)
    assert (square.image[padded] == mean).all()


@pytest.mark.parametrize("seed", range(6))
def test_image_and_objects_move_together(seed):
    plain = Augmentation(crop=80, min_scale=0.7, max_scale=1.6, rotate=True, colour=0.0)
    square = augment(make_sample(seed), plain, RULES, np.random.default_rng(seed))
    bright = square.image.mean(2) > 115
    known = np.ones(bright.shape, bool) if square.ignored is None else ~square.ignored
    disc = np.isin(square.id_maps[0], np.flatnonzero(square.label_ids == 0) + 1)
    assert (bright == disc)[known].mean() > 0.95


def test_squares_have_no_areas_of_whole_images():
    whole = replace(make_sample(), areas=np.full(len(make_sample().label_ids), 7.0))
    assert augment(whole, NO_OPERATIONS, RULES, np.random.default_rng(0)).areas is None


def test_augmentation_without_operations_changes_nothing():
    square = augment(make_sample(size=(96, 96)), NO_OPERATIONS, RULES, np.random.default_rng(0))
    assert np.array_equal(square.image, make_sample(size=(96, 96)).image)
    assert square.ignored is None


def test_stretching_uses_the_whole_range():
    dark = make_sample(size=(96, 96))
    dark.image[:] //= 16
    rules = PreprocessingConfig(shortest_edge=96, longest_edge=200, stretch=True)
    square = augment(dark, NO_OPERATIONS, rules, np.random.default_rng(0))
    assert square.image.min() == 0 and square.image.max() == 255


def with_overlap():
    id_maps = np.zeros((2, 6, 6), np.int32)
    id_maps[0, :4, :4], id_maps[1, 2:, 2:] = 1, 2
    id_maps[0, 5] = 3
    return Sample(
        np.zeros((6, 6, 3), np.uint8), id_maps, np.array([0, 0, 1]),
        np.array([False, False, False]), None, Path(),
    )  # fmt: skip


def test_overlapping_objects_stay_whole():
    target = build_target(with_overlap(), "instance", LABELS)
    assert target.labels.tolist() == [0, 0]
    assert target.masks.sum((1, 2)).tolist() == [16, 16]


def test_each_task_has_its_targets():
    sample = with_overlap()
    panoptic = build_target(sample, "panoptic", LABELS)
    assert panoptic.labels.tolist() == [0, 0, 1]
    semantic = build_target(sample, "semantic", LABELS)
    assert semantic.labels.tolist() == [0, 1]
    assert semantic.masks[0].sum() == 28


def test_crowds_are_ignored_and_lost_objects_left_out():
    sample = with_overlap()
    sample.crowds[1] = True
    sample.id_maps[0, :4, :4] = 0
    target = build_target(sample, "panoptic", LABELS)
    assert target.labels.tolist() == [1]
    assert target.ignored.sum() == 16


def test_an_image_without_objects_has_an_empty_target():
    sample = with_overlap()
    sample.id_maps[:] = 0
    target = build_target(sample, "panoptic", LABELS)
    assert target.labels.shape == (0,) and target.masks.shape == (0, 6, 6)
    assert target.ignored is None
