"""Bilinear upsampling evaluated block of rows by block of rows."""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def upsampled_rows(
    x: Float[Tensor, "b c i j"], size: tuple[int, int]
) -> Callable[[slice], Float[Tensor, "b c k w"]]:
    """Return bilinear interpolation as a function of the requested rows of the larger map.

    If the map is exactly twice as large, it is never held in memory: an output row mixes two input
    rows, so a block of input rows with one more at either end gives the same values as the whole
    map.

    Args:
        x: Map to resize.
        size: Height and width of the larger map.
    """
    height, width = x.shape[2:]
    if size != (2 * height, 2 * width):
        resized = resize(x, size)
        return lambda rows: resized[:, :, rows]

    def interpolate(rows: slice) -> Float[Tensor, "b c k w"]:
        start, stop = max(0, rows.start // 2 - 1), min(height, (rows.stop + 1) // 2 + 1)
        block = resize(x[:, :, start:stop], (2 * (stop - start), 2 * width))
        return block[:, :, rows.start - 2 * start : rows.stop - 2 * start]

    return interpolate


def resize(x: Float[Tensor, "b c i j"], size: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    """Resize bilinearly with `align_corners=False`."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
