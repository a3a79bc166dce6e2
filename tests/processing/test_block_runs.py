"""Masks assembled from blocks equal whole masks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unimask.formats.run_length import RunLength
from unimask.processing import blocks
from unimask.processing.block_runs import MaskRuns
from unimask.processing.blocks import iterate_grids
from unimask.processing.resize import Resizer

side = st.integers(1, 25)


@given(side, side, st.integers(2, 9), st.integers(0, 100))
def test_masks_are_assembled_from_blocks(height, width, block, seed):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(3, 1, 4, 4, generator=generator)
    masks = torch.nn.functional.interpolate(coarse, (height, width))[:, 0] > 0.3
    masks[0] = seed % 2
    runs = MaskRuns((height, width), len(masks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_SIDE", block)
        patch.setattr(blocks, "MAX_GRID_BOUNDS", 20)
        parts = list(
            iterate_grids(Resizer.linear((height, width), (height, width)), masks.device, 3)
        )
    for grid in parts:
        values = torch.stack(
            [grid.block_view(mask.T) for mask in masks]
        )  # mask, across, a, down, b
        values = values.permute(0, 3, 1, 2, 4).flatten(1, 2)
        whole = values.flatten(2).all(2)
        runs.add_full_blocks(grid, whole)
        owners, numbers = (~whole & values.flatten(2).any(2)).nonzero().unbind(1)
        runs.add_partial_blocks(grid, owners, numbers, values[owners, numbers])
    assert runs.to_run_lengths() == [RunLength.from_mask(mask.numpy()) for mask in masks]
