"""Masks of boxes within large images."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unimask.formats.run_length import RunLength
from unimask.tiling.masks import PlacedMask, area_outside, unite, window_iou
from unimask.tiling.windows import TileWindow

SIZE = (30, 40)


@st.composite
def placed(draw):
    """Return a mask of a tile, its place, and the same mask at the size of the image."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    mask = draw(arrays(bool, shape))
    mask.flat[draw(st.integers(0, mask.size - 1))] = True
    row = draw(st.integers(0, SIZE[0] - shape[0]))
    column = draw(st.integers(0, SIZE[1] - shape[1]))
    whole = np.zeros(SIZE, bool)
    whole[row : row + shape[0], column : column + shape[1]] = mask
    return PlacedMask.from_run_length(RunLength.from_mask(mask), row, column), whole


@given(placed())
def test_run_lengths_of_the_image(drawn):
    mask, whole = drawn
    rle = mask.to_image(SIZE)
    assert rle == RunLength.from_mask(whole) and mask.area == whole.sum()
    left, top, right, bottom = rle.box
    assert mask.window == TileWindow(int(top), int(left), int(bottom - top), int(right - left))
    np.testing.assert_array_equal(mask.decode(TileWindow(0, 0, *SIZE)), whole)


@given(placed(), placed(), st.integers(0, 20), st.integers(0, 20))
def test_unions_and_overlaps(first, second, row, column):
    window = TileWindow(row, column, 9, 13)
    part = slice(row, row + 9), slice(column, column + 13)
    one, other = first[1][part], second[1][part]
    expected = (one & other).sum() / max(1, (one | other).sum())
    assert window_iou(first[0], second[0], window) == expected
    assert area_outside(first[0], window) == first[1].sum() - one.sum()
    united = unite([first[0], second[0]])
    assert united.to_image(SIZE) == RunLength.from_mask(first[1] | second[1])
