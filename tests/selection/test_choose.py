"""Choice of images: informative ones first, and no two alike while others are left."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unimask.selection.choose import choose_images, rank_shares
from unimask.selection.image_features import standardise

NONE = np.zeros((0, 2))
VALUES = arrays.arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1, width=16))


def test_ranks_run_from_zero_to_one_and_equal_values_share_one():
    assert rank_shares(np.array([5.0, 1.0, 1.0, 9.0])).tolist() == [2 / 3, 1 / 6, 1 / 6, 1]


def test_unknown_values_have_the_middle_rank():
    assert rank_shares(np.array([np.nan, 3.0, 1.0, 2.0])).tolist() == [0.5, 1, 0, 0.5]
    assert rank_shares(np.array([np.nan])).tolist() == [0.5]


@given(values=VALUES, count=st.integers(1, 15), seed=st.integers(0, 99))
def test_each_image_is_chosen_once_and_the_most_informative_first(values, count, seed):
    features = np.random.default_rng(seed).normal(size=(len(values), 2))
    chosen = choose_images(values, features, NONE, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(values))
    assert values[chosen[0]] == values.max()


def test_equal_images_are_chosen_last():
    features = np.array([[0.0, 0], [0, 0], [0, 0], [1, 0], [5, 5]])
    chosen = choose_images(np.array([0.9, 1, 0.8, 0.5, 0.5]), features, NONE, 5)
    assert chosen[:3] == [1, 4, 3]


def test_images_like_labelled_ones_are_chosen_last():
    features = np.array([[0.0, 0], [3, 0], [9, 0]])
    chosen = choose_images(np.ones(3), features, np.array([[9.0, 0]]), 3)
    assert chosen == [0, 1, 2]


@given(st.integers(0, 50))
def test_standardised_features_ignore_scale_and_constant_columns(seed):
    features = np.random.default_rng(seed).normal(size=(30, 5)) * 10.0 ** np.arange(5) + 7
    scaled = standardise(np.c_[features, np.full(30, 3)])
    assert scaled.shape == (30, 5) and np.allclose(scaled.mean(0), 0, atol=1e-5)
    squares = ((scaled[:, None] - scaled[None]) ** 2).sum(-1)
    assert np.isclose(squares.mean(), 2, atol=1e-4)
    assert standardise(np.ones((3, 2))).tolist() == [[0], [0], [0]]
