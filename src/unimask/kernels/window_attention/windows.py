"""Maps to windows and back, band by band, and who of a window may not attend to whom."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.kernels.shifted_windows import roll, strangers
from unimask.kernels.window_attention.bands import Band


def strangers_of(
    band: Band, columns: int, window: int, shift: int, device: torch.device
) -> Bool[Tensor, "w n n"] | None:
    """Mark the strangers in a band of a map with so many columns; None without shifting."""
    if not shift:
        return None
    across = -(-columns // window)
    tiles = strangers(band.height, across * window, window, shift, device)
    return tiles.unflatten(0, (-1, across))[band.lines].flatten(0, 1)


def cut(x: Float[Tensor, "b i w c"], band: Band, window: int, shift: int) -> Float[Tensor, "t n c"]:
    """Cut a band into (shifted) windows, those of a picture one after the other.

    The map is filled with zeros at the right and below. `join` is its transpose.
    """
    b, _, w, c = x.shape
    x = roll(band.fill(F.pad(x, (0, 0, 0, -w % window))), -shift, 2)
    height, width = x.shape[1:3]
    tiles = x.view(b, height // window, window, width // window, window, c)
    return tiles.transpose(2, 3).reshape(-1, window * window, c)


def join(
    tiles: Float[Tensor, "t n c"], band: Band, columns: int, window: int, shift: int
) -> Float[Tensor, "b i w c"]:
    """Undo `cut` for a map with so many columns."""
    down, across, c = band.lines.stop - band.lines.start, -(-columns // window), tiles.shape[-1]
    tiles = tiles.view(-1, down, across, window, window, c)
    x = tiles.transpose(2, 3).reshape(-1, down * window, across * window, c)
    return band.clear(roll(x, shift, 2))[:, :, :columns]
