"""Polygons are filled exactly, and equally in every window."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from unimask.datasets.rendered_town.window import (
    Window,
    convex_hull,
    fill_polygon,
    sweep_polygon,
)

WHOLE = Window(-20, -20, 60, 70)
coordinates = st.floats(-15, 35, allow_subnormal=False)
polygons = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=7).map(np.array)


def dense_mask(vertices, window):
    mask = np.zeros((window.height, window.width), bool)
    patch = fill_polygon(vertices, window)
    if patch is not None:
        mask[patch.rows, patch.columns] = patch.mask
    return mask


@given(polygons, st.integers(0, 59), st.integers(0, 69), st.integers(1, 60), st.integers(1, 70))
def test_a_window_is_part_of_the_whole(vertices, top, left, height, width):
    height, width = min(height, 60 - top), min(width, 70 - left)
    part = dense_mask(vertices, Window(top - 20, left - 20, height, width))
    whole = dense_mask(vertices, WHOLE)
    assert (part == whole[top : top + height, left : left + width]).all()


def test_pixels_are_those_of_scikit_image():
    random = np.random.default_rng(0)
    for _ in range(30):
        vertices = convex_hull(random.uniform(-15, 35, (5, 2)))
        ours = dense_mask(vertices, WHOLE)
        theirs = polygon2mask(ours.shape, vertices[:, ::-1] + 20 - 0.5)
        assert (ours == theirs).all()


def test_polygons_with_a_common_side_divide_the_pixels():
    random = np.random.default_rng(1)
    corners = np.array([[0, 0], [30, 0], [30, 30], [0, 30]], float)
    for _ in range(50):
        centre = random.uniform(2, 28, 2)
        count = np.zeros((60, 70), int)
        for k in range(4):
            count += dense_mask(np.stack([corners[k], corners[(k + 1) % 4], centre]), WHOLE)
        assert (count[20:50, 20:50] == 1).all() and count.sum() == 900


def test_a_swept_polygon_covers_all_positions():
    square = np.array([[0, 0], [10, 2], [9, 12], [-1, 9]], float)
    shift = np.array([13.0, 6.0])
    swept = dense_mask(sweep_polygon(square, shift), WHOLE)
    for share in np.linspace(0, 1, 9):
        assert not (dense_mask(square + share * shift, WHOLE) & ~swept).any()
