"""Compact masks: what is stored is exact, and bounds cover every pixel that reads a tile."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unimask.processing.compact_masks import TILE_SIDE, CompactMasks, tile_bounds, tile_counts
from unimask.processing.resize import Resizer

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(sizes, st.integers(0, 10**6))
def test_stored_tiles_are_exact_and_others_constant(size, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, *size, generator=generator)
    count = tile_counts(size)[0] * tile_counts(size)[1]
    is_stored = torch.rand(3, count, generator=generator) < 0.5
    constants = torch.randn(3, count, generator=generator)
    compact = CompactMasks.compress(logits, is_stored, constants, torch.float32)
    rows, columns = (torch.arange(length) // TILE_SIDE for length in size)
    tile = rows[:, None] * tile_counts(size)[1] + columns
    expected = logits.where(is_stored[:, tile], constants[:, tile])
    assert torch.equal(compact.expand(), expected)
    assert len(compact.tiles) == is_stored.sum()


@given(sizes, sizes, sizes, st.integers(0, 10**6))
def test_bounds_cover_all_logits_of_the_pixels_of_a_tile(size, padded, original, seed):
    """Also where the padded input is smaller than the logits, so that pixels skip some."""
    logits = torch.randn(2, *size, generator=torch.Generator().manual_seed(seed))
    cropped = (max(1, padded[0] - 3), max(1, padded[1] - 2))
    resizer = Resizer.between(size, padded, cropped, original)
    lowest, highest = tile_bounds(logits, resizer)
    (rows, row_weights), (columns, column_weights) = resizer
    across = tile_counts(size)[1]
    for y in (0, len(rows) // 2, len(rows) - 1):
        for x in (0, len(columns) // 3, len(columns) - 1):
            used_rows = rows[y][row_weights[y] > 0]
            used_columns = columns[x][column_weights[x] > 0]
            patch = logits[:, used_rows][:, :, used_columns]
            for row in used_rows.tolist():
                for column in used_columns.tolist():
                    tile = row // TILE_SIDE * across + column // TILE_SIDE
                    assert (lowest[:, tile] <= patch.amin((1, 2))).all()
                    assert (highest[:, tile] >= patch.amax((1, 2))).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_types_hold_every_finite_logit(dtype):
    logits = torch.tensor([[[1e38, -1e38]]])
    compact = CompactMasks.compress(logits, torch.ones(1, 1).bool(), torch.zeros(1, 1), dtype)
    assert compact.expand().isfinite().all()
