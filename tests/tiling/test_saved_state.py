"""Objects of finished rows leave memory early, and a run continues from saved arrays."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.tiling.blending import ClassBlender, first_of_best
from unimask.tiling.masks import PlacedMask
from unimask.tiling.saved_state import (
    blender_arrays,
    joiner_arrays,
    restore_blender,
    restore_joiner,
)
from unimask.tiling.seams import ObjectJoiner, TileObject
from unimask.tiling.windows import TileGrid

SIZE = (130, 150)
GRID = TileGrid.divide(SIZE, (48, 48), (20, 16))


def add_row(joiner, ids, i):
    for j in range(len(GRID.columns.starts)):
        tile = GRID.tile(i, j)
        window = tile.window
        part = ids[window.row : window.bottom, window.column : window.right]
        objects = [
            TileObject(0, number / 1000, PlacedMask.crop(part == number, window.row, window.column))
            for number in np.unique(part[part > 0]).tolist()
        ]
        joiner.add(tile, objects)


def describe(objects):
    return [
        (o.label_id, o.score, o.mask.window, o.mask.rle.counts.tolist(), o.order) for o in objects
    ]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_closing_rows_early_and_continuing_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    ids = np.zeros(SIZE, np.int32)
    for number in range(1, 20):
        row, column = rng.integers(0, SIZE[0] - 5), rng.integers(0, SIZE[1] - 5)
        height, width = rng.integers(3, 60, 2)
        ids[row : row + height, column : column + width] = number
    whole = ObjectJoiner(GRID, 2)
    early = ObjectJoiner(GRID, 2)
    closed = []
    bounds = (*GRID.rows.starts[1:], SIZE[0])
    for i, bottom in enumerate(bounds):
        add_row(whole, ids, i)
        add_row(early, ids, i)
        closed += early.close(bottom)
        restored = ObjectJoiner(GRID, 2)
        restore_joiner(restored, joiner_arrays(early))
        early = restored
    assert not early.members and not early.parents and not early.boxes
    expected = whole.finish()
    assert describe(sorted(closed, key=lambda o: (-o.score, o.order))) == describe(expected)


def best_label(classes, scores):
    return first_of_best(classes, scores)[0]


def test_blending_continues_from_saved_scores():
    rng = np.random.default_rng(0)
    maps = []
    for stops in (False, True):
        labels = np.full(SIZE, -9)

        def write(window, block, labels=labels):
            rows, columns = slice(window.row, window.bottom), slice(window.column, window.right)
            labels[rows, columns] = block

        def new(write=write):
            return ClassBlender(GRID, best_label, write, -1)

        blender, rng = new(), np.random.default_rng(0)
        for tile in GRID.tiles():
            if tile.i == 1 and tile.j == 1:
                blender.skip(tile)
            else:
                scores = torch.from_numpy(rng.random((3, 48, 48), np.float32))
                blender.add(tile, (0, 2, 4), scores)
            if stops and tile.j == len(GRID.columns.starts) - 1:
                arrays, blender = blender_arrays(blender), new()
                restore_blender(blender, arrays)
        assert not blender.pending and labels.min() >= -1
        maps.append(labels)
    np.testing.assert_array_equal(*maps)
