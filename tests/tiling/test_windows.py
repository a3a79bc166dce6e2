"""Tiles cover the image, and their cells, cores and weights divide it."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unimask.tiling.blending import normalised_weights
from unimask.tiling.windows import TileAxis, TileGrid, TileWindow


@st.composite
def axes(draw):
    length, tile = draw(st.integers(1, 500)), draw(st.integers(2, 120))
    overlap, step = draw(st.integers(0, tile // 2)), draw(st.sampled_from([1, 4, 32]))
    return TileAxis.divide(length, tile, overlap, step), tile, overlap, step


@given(axes())
def test_intervals_cover_the_axis_with_the_overlap(drawn):
    axis, tile, overlap, step = drawn
    ends = [start + axis.tile for start in axis.starts]
    assert axis.starts[0] == 0 and ends[-1] == axis.length and axis.tile == min(tile, axis.length)
    assert all(start % step == 0 for start in axis.starts[:-1]) or tile - overlap < step
    for (first, second), end in zip(pairwise(axis.starts), ends, strict=False):
        assert first < second and end - second >= overlap
    if axis.length <= tile:
        assert axis.starts == (0,)


@given(axes())
def test_cores_and_cells_divide_the_axis(drawn):
    axis = drawn[0]
    owners = [axis.owner(place + 0.5) for place in range(axis.length)]
    assert owners == sorted(owners) and set(owners) == set(range(len(axis.starts)))
    for place, owner in enumerate(owners):
        assert 0 <= place - axis.starts[owner] < axis.tile
    covered = np.zeros(axis.length, int)
    for start in axis.starts:
        covered[start : start + axis.tile] += 1
    for index, start in enumerate(axis.starts):
        cells = axis.cells(index)
        assert axis.cuts[cells.start] == start and axis.cuts[cells.stop] == start + axis.tile
        for cell in cells:
            assert (covered[axis.cuts[cell] : axis.cuts[cell + 1]] == axis.count(cell)).all()


@given(axes())
def test_weights_sum_to_one_at_every_pixel(drawn):
    axis = drawn[0]
    total = np.zeros(axis.length)
    for start, weights in zip(axis.starts, normalised_weights(axis), strict=True):
        assert (weights > 0).all()
        total[start : start + axis.tile] += weights
    np.testing.assert_allclose(total, 1)


def test_earlier_neighbours_are_the_overlapping_tiles_before():
    grid = TileGrid.divide((300, 400), (64, 64), (40, 16))
    order = list(grid.tiles())
    assert len(order) == len(grid)
    for index, tile in enumerate(order):
        expected = [other for other in order[:index] if tile.window.intersect(other.window)]
        assert sorted(grid.earlier_neighbours(tile)) == sorted(expected)


def test_windows_intersect():
    first, second = TileWindow(0, 0, 10, 20), TileWindow(4, 15, 10, 20)
    common = second.intersect(first)
    assert common is not None and common == first.intersect(second) == TileWindow(4, 15, 6, 5)
    assert first.intersect(TileWindow(10, 0, 5, 5)) is None
    assert common.slices_within(second) == (slice(0, 6), slice(0, 5))
