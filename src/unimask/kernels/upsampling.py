"""A map at a finer size, some lines after the others."""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def upsampled_lines(
    x: Float[Tensor, "b c i j"], size: tuple[int, int]
) -> Callable[[slice], Float[Tensor, "b c k w"]]:
    """Give bilinear interpolation as a function of the lines that are wanted.

    The finer map need not exist, if it is twice as large. Then a line mixes two, of which one may
    be that before or after: some lines of the map, with one more at either end, give the same
    numbers as all of it.

    Args:
        x: A map.
        size: Height and width of the finer one.
    """
    height, width = x.shape[2:]
    if size != (2 * height, 2 * width):
        whole = resize(x, size)
        return lambda lines: whole[:, :, lines]

    def interpolate(lines: slice) -> Tensor:
        above, below = max(0, lines.start // 2 - 1), min(height, (lines.stop + 1) // 2 + 1)
        finer = resize(x[:, :, above:below], (2 * (below - above), 2 * width))
        return finer[:, :, lines.start - 2 * above : lines.stop - 2 * above]

    return interpolate


def resize(x: Float[Tensor, "b c i j"], size: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    """Interpolate as PyTorch does with half a cell between a corner and its cell's centre."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
