"""Geometry of Swin's windows: relative positions, and pairs that a shift brings together."""

from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def relative_position_index(window: int) -> Int[Tensor, "n n"]:
    """Return the row of the relative position bias table for each pair of tokens in a window."""
    axis = torch.arange(window)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return down * (2 * window - 1) + right


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def separated_pairs(
    height: int, width: int, window: int, shift: int, device: torch.device
) -> Bool[Tensor, "w n n"]:
    """Mark pairs of tokens that share a shifted window but are no neighbours in the map.

    The cyclic shift brings opposite borders of the map together; such tokens must not attend to
    each other (Swin, figure 4).
    """
    row_regions = region_ids(height, window, shift, device)
    column_regions = region_ids(width, window, shift, device)
    regions = row_regions[:, None] * 3 + column_regions[None, :]
    tiles = regions.view(height // window, window, width // window, window)
    tiles = tiles.transpose(1, 2).reshape(-1, window * window)
    return tiles[:, None, :] != tiles[:, :, None]


def region_ids(length: int, window: int, shift: int, device: torch.device) -> Int[Tensor, " n"]:
    """Number the three regions that the cyclic shift creates along one axis."""
    index = torch.arange(length, device=device)
    return (index >= length - window).long() + (index >= length - shift).long()


def roll(x: Float[Tensor, "b h w c"], shift: int, dim: int) -> Float[Tensor, "b h w c"]:
    """Shift a map cyclically; a shift of 0 makes no copy."""
    return x.roll(shift, dim) if shift else x
