"""Partition of a band into windows and back, and the pairs of tokens that must not attend."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.kernels.window_attention.bands import Band
from unimask.kernels.window_attention.geometry import roll, separated_pairs


def blocked_pairs(
    band: Band, width: int, window: int, shift: int, device: torch.device
) -> Bool[Tensor, "w n n"] | None:
    """Return `separated_pairs` for the windows of a band; None without a shift."""
    if not shift:
        return None
    across = -(-width // window)
    tiles = separated_pairs(band.padded_height, across * window, window, shift, device)
    return tiles.unflatten(0, (-1, across))[band.window_rows].flatten(0, 1)


def partition(
    x: Float[Tensor, "b i w c"], band: Band, window: int, shift: int
) -> Float[Tensor, "t n c"]:
    """Split a band into (shifted) windows, those of an image one after the other.

    The map is padded with zeros on the right and below. `merge` is the transposed operation.
    """
    b, _, w, c = x.shape
    x = roll(band.pad(F.pad(x, (0, 0, 0, -w % window))), -shift, 2)
    height, width = x.shape[1:3]
    tiles = x.view(b, height // window, window, width // window, window, c)
    return tiles.transpose(2, 3).reshape(-1, window * window, c)


def merge(
    tiles: Float[Tensor, "t n c"], band: Band, width: int, window: int, shift: int
) -> Float[Tensor, "b i w c"]:
    """Put windows back together and remove the padding, for a map of the given width."""
    down = band.window_rows.stop - band.window_rows.start
    across, c = -(-width // window), tiles.shape[-1]
    tiles = tiles.view(-1, down, across, window, window, c)
    x = tiles.transpose(2, 3).reshape(-1, down * window, across * window, c)
    return band.crop(roll(x, shift, 2))[:, :, :width]
