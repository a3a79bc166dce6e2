"""Noise depends on the position of a pixel alone, and is smooth between the lattice points."""

import numpy as np
import pytest

from unimask.datasets.rendered_town.hashing import uniform, uniform_grid
from unimask.datasets.rendered_town.noise import fractal_noise, smooth_noise
from unimask.datasets.rendered_town.window import Window

WHOLE = Window(-40, -30, 90, 100)


@pytest.mark.parametrize("spacing", [1, 2, 7, 40])
def test_a_window_is_part_of_the_whole(spacing):
    whole = smooth_noise(WHOLE, spacing, 5)
    part = smooth_noise(Window(-11, 3, 37, 41), spacing, 5)
    assert (part == whole[29:66, 33:74]).all()


def test_keys_select_independent_fields():
    first, second = smooth_noise(WHOLE, 1, 5), smooth_noise(WHOLE, 1, 6)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_neighbours_differ_less_the_greater_the_spacing():
    steps = [np.abs(np.diff(smooth_noise(WHOLE, n, 5))).mean() for n in (1, 2, 5, 20)]
    assert steps == sorted(steps, reverse=True)


def test_grids_are_uniform():
    values = uniform_grid(3, np.arange(-200, 300), np.arange(400))
    assert values.dtype == np.float32 and values.min() >= -1 and values.max() <= 1
    counts, _ = np.histogram(values, 20, (-1, 1))
    assert np.abs(counts / values.size * 20 - 1).max() < 0.05
    assert abs(np.corrcoef(values[:, 1:].ravel(), values[:, :-1].ravel())[0, 1]) < 0.01


def test_single_numbers_are_uniform():
    values = [uniform(seed, i, j) for seed in range(3) for i in range(-20, 20) for j in range(20)]
    assert len(set(values)) == len(values)
    assert 0.48 < np.mean(values) < 0.52 and max(values) < 1


def test_octaves_are_added():
    single, both = smooth_noise(WHOLE, 8, 2), fractal_noise(WHOLE, (8, 3), 2, 0.5)
    assert np.allclose(both - single, 0.5 * smooth_noise(WHOLE, 3, 3), atol=1e-6)
