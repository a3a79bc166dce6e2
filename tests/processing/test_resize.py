"""Resizing by blocks equals two interpolations of whole masks."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.processing import blocks
from unimask.processing.blocks import block_resizer, iterate_grids, logit_bounds, source_grid
from unimask.processing.resize import Axis, Resizer

side = st.integers(1, 40)


def reference(logits, padded, shown, original):
    """Resize whole masks in the authors' two steps."""
    masks = F.interpolate(logits[None], padded, mode="bilinear", align_corners=False)
    masks = masks[:, :, : shown[0], : shown[1]]
    return F.interpolate(masks, original, mode="bilinear", align_corners=False)[0]


def assemble(logits, resizer):
    """Resize every block, and check its bounds."""
    result = torch.full((len(logits), *resizer.size), torch.nan)
    for grid in iterate_grids(resizer, logits.device, len(logits)):
        lowest, highest = logit_bounds(logits, grid)
        numbers = torch.arange(lowest.shape[1])
        for query, target in enumerate(result):
            where = block_resizer(grid, numbers, logits.shape[2])
            values = where.resize(logits, torch.full_like(numbers, query)[:, None])[:, 0]
            assert (values.flatten(1).amax(1) <= highest[query] + 1e-5).all()
            assert (values.flatten(1).amin(1) >= lowest[query] - 1e-5).all()
            part = target.T  # grids write to it transposed
            grid.block_view(part)[numbers % grid.shape[1], :, numbers // grid.shape[1]] = values
    return result


@settings(max_examples=50)
@given(st.tuples(side, side), st.tuples(side, side), st.tuples(side, side), st.integers(0, 50))
def test_blocks_equal_the_two_resizing_steps(logits_size, cut, original, seed):
    padded = (4 * logits_size[0], 4 * logits_size[1])
    shown = (max(1, padded[0] - cut[0]), max(1, padded[1] - cut[1]))
    logits = 9 * torch.randn(3, *logits_size, generator=torch.Generator().manual_seed(seed))
    resizer = Resizer.between(logits_size, padded, shown, original)
    assert resizer.size == original
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_SIDE", 3 + seed % 30)
        patch.setattr(blocks, "MAX_GRID_BOUNDS", 10 + seed)
        actual = assemble(logits, resizer)
    expected = reference(logits, padded, shown, original)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sizes", [((200, 336), (800, 1344), (750, 1333), (2160, 3840))])
def test_large_image(sizes):
    logits = 9 * torch.randn(1, *sizes[0], generator=torch.Generator().manual_seed(0))
    actual = assemble(logits, Resizer.between(*sizes))
    torch.testing.assert_close(actual, reference(logits, *sizes[1:]), atol=2e-5, rtol=1e-5)


@given(st.integers(1, 400), st.integers(1, 400))
def test_state_dict_equals_that_of_pytorch(length, new_length):
    axis = Axis.linear(length, new_length)
    dense = torch.zeros(new_length, length).scatter_add_(1, axis.inputs, axis.weights)
    unit = torch.eye(length)[None]
    assert torch.equal(dense, F.interpolate(unit, new_length, mode="linear")[0].T)


def test_source_grids_cover_the_inputs_of_blocks(monkeypatch):
    """Both steps block by block equal the combined step."""
    monkeypatch.setattr(blocks, "BLOCK_SIDE", 7)
    logits = torch.randn(1, 9, 12)
    first, second = Resizer.linear((9, 12), (36, 48)), Resizer.linear((33, 41), (50, 23))
    expected = reference(logits, (36, 48), (33, 41), (50, 23))[0]
    for grid in iterate_grids(second, logits.device, 1):
        numbers = torch.arange(grid.shape[0] * grid.shape[1])
        source = source_grid(grid, first)
        values = block_resizer(source, numbers, 12).resize(
            logits, torch.zeros_like(numbers)[:, None]
        )[:, 0]
        columns = grid.columns.weights[numbers % grid.shape[1]]
        values = columns @ values @ grid.rows.weights[numbers // grid.shape[1]].mT
        placed = grid.block_view(expected.T)[numbers % grid.shape[1], :, numbers // grid.shape[1]]
        torch.testing.assert_close(values, placed)
