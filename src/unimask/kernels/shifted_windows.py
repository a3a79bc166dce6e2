"""Which tokens of Swin's (shifted) windows are how far apart, and which were never neighbours."""

from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def relative_position_index(window: int) -> Int[Tensor, "n n"]:
    """Number the offsets between two tokens of a window, row of the position table by pair."""
    axis = torch.arange(window)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return down * (2 * window - 1) + right


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def strangers(
    height: int, width: int, window: int, shift: int, device: torch.device
) -> Bool[Tensor, "w n n"]:
    """Mark pairs of tokens that share a shifted window but were never neighbours.

    Cyclic shifting brings the picture's opposite borders together; such tokens may not attend
    to each other (Swin, figure 4).
    """
    region_rows = region_of(height, window, shift, device)
    region_columns = region_of(width, window, shift, device)
    regions = region_rows[:, None] * 3 + region_columns[None, :]
    tiles = regions.view(height // window, window, width // window, window)
    tiles = tiles.transpose(1, 2).reshape(-1, window * window)
    return tiles[:, None, :] != tiles[:, :, None]


def region_of(length: int, window: int, shift: int, device: torch.device) -> Int[Tensor, " n"]:
    """Number the three stretches that cyclic shifting leaves along one axis."""
    index = torch.arange(length, device=device)
    return (index >= length - window).long() + (index >= length - shift).long()


def roll(x: Float[Tensor, "b h w c"], shift: int, dim: int) -> Float[Tensor, "b h w c"]:
    """Move a map cyclically; by nothing, without a copy."""
    return x.roll(shift, dim) if shift else x
