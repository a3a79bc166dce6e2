"""Horizontal bands of a map, each a few rows of windows, so that one band fits the cache."""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unimask.kernels.rows import rows_per_block


@dataclass(frozen=True)
class Band:
    """Some rows of windows of a map that was shifted up cyclically and padded with zeros below.

    Attributes:
        window_rows: Which rows of windows the band covers.
        rows: Rows of the unpadded map that lie in these windows, in their order.
        rows_above_gap: Number of these rows above the band's gap.
        gap: Number of padding rows in the middle of the band: below the map's last row, above its
            rows that the shift wrapped around.
        padding_below: Number of padding rows at the end of the band.
        padded_height: Height of the whole padded map.
    """

    window_rows: slice
    rows: slice | Int[Tensor, " i"]
    rows_above_gap: int
    gap: int
    padding_below: int
    padded_height: int

    def pad(self, x: Float[Tensor, "b i w c"]) -> Float[Tensor, "b j w c"]:
        """Insert rows of zeros where the map has none."""
        if not self.gap:
            return F.pad(x, (0, 0, 0, 0, 0, self.padding_below)) if self.padding_below else x
        b, _, w, c = x.shape
        gap, end = (x.new_zeros(b, count, w, c) for count in (self.gap, self.padding_below))
        above, below = x[:, : self.rows_above_gap], x[:, self.rows_above_gap :]
        return torch.cat([above, gap, below, end], dim=1)

    def crop(self, x: Float[Tensor, "b j w c"]) -> Float[Tensor, "b i w c"]:
        """Remove the rows that `pad` inserted."""
        x = x[:, : x.shape[1] - self.padding_below]
        if not self.gap:
            return x
        return torch.cat([x[:, : self.rows_above_gap], x[:, self.rows_above_gap + self.gap :]], 1)


def bands_in_cache(x: Float[Tensor, "b h w c"], window: int, shift: int) -> tuple[Band, ...]:
    """Return the bands to process a map in; one for the whole map unless it exceeds a block."""
    b, h, w, _ = x.shape
    window_rows = -(-rows_per_block(x, h * w, batch=b) // (window * w))
    whole, *parts = bands(h, window, shift, window_rows)
    return tuple(parts) or (whole,)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def bands(height: int, window: int, shift: int, window_rows: int) -> tuple[Band, ...]:
    """Return the whole map as one band and, if it is higher, its bands of `window_rows` each."""
    padded_height = -(-height // window) * window
    count = padded_height // window
    parts = [slice(0, count)]
    if window_rows < count:
        starts = range(0, count, window_rows)
        parts += [slice(start, min(start + window_rows, count)) for start in starts]
    return tuple(make_band(part, height, window, shift, padded_height) for part in parts)


def make_band(window_rows: slice, height: int, window: int, shift: int, padded_height: int) -> Band:
    """Return the band of some rows of windows of a map that is shifted up by `shift` rows.

    Only Python numbers and lists are used: to tracers of networks they are constants.
    """
    start, stop = window_rows.start * window + shift, window_rows.stop * window + shift
    straight = range(start, min(stop, height))
    wrapped_stop = min(max(stop, padded_height) - padded_height, height)
    wrapped = range(max(start, padded_height) - padded_height, wrapped_stop)
    rows = [*straight, *wrapped]
    contiguous = bool(rows) and rows[-1] - rows[0] == len(rows) - 1
    above_wrapped = wrapped.start + padded_height - start if wrapped else len(straight)
    return Band(
        window_rows,
        slice(rows[0], rows[-1] + 1) if contiguous else torch.tensor(rows, dtype=torch.long),
        len(straight),
        above_wrapped - len(straight),
        stop - start - above_wrapped - len(wrapped),
        padded_height,
    )
