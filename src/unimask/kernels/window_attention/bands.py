"""A Swin block's map in bands of windows, so that a band at a time stays in the cache."""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unimask.kernels.rows import rows_at_a_time


@dataclass(frozen=True)
class Band:
    """Some of the lines of windows of a map that was moved up, and filled with zeros below.

    Attributes:
        lines: Which lines of windows.
        rows: The map's own rows in them, in their order.
        upper: How many of these rows lie above those that the band lacks.
        lacking: How many rows it lacks there.
        below: How many more it lacks below all of them.
        height: Rows of the whole map, filled.
    """

    lines: slice
    rows: slice | Int[Tensor, " i"]
    upper: int
    lacking: int
    below: int
    height: int

    def fill(self, x: Float[Tensor, "b i w c"]) -> Float[Tensor, "b j w c"]:
        """Put rows of zeros where the map has none."""
        if not self.lacking:
            return F.pad(x, (0, 0, 0, 0, 0, self.below)) if self.below else x
        b, _, w, c = x.shape
        gap, end = (x.new_zeros(b, count, w, c) for count in (self.lacking, self.below))
        return torch.cat([x[:, : self.upper], gap, x[:, self.upper :], end], dim=1)

    def clear(self, x: Float[Tensor, "b j w c"]) -> Float[Tensor, "b i w c"]:
        """Undo `fill`."""
        x = x[:, : x.shape[1] - self.below]
        if not self.lacking:
            return x
        return torch.cat([x[:, : self.upper], x[:, self.upper + self.lacking :]], dim=1)


def bands_in_cache(x: Float[Tensor, "b h w c"], window: int, shift: int) -> tuple[Band, ...]:
    """Give the bands to treat a map in: one for all of it, unless blocks of rows are smaller."""
    b, h, w, _ = x.shape
    lines = -(-rows_at_a_time(x, h * w, pictures=b) // (window * w))
    whole, *parts = bands(h, window, shift, lines)
    return tuple(parts) or (whole,)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def bands(rows: int, window: int, shift: int, lines: int) -> tuple[Band, ...]:
    """Give the whole map as one band and, if it has more lines than that, bands of `lines`."""
    height = -(-rows // window) * window
    count = height // window
    cut = [slice(0, count)]
    if lines < count:
        cut += [slice(start, min(start + lines, count)) for start in range(0, count, lines)]
    return tuple(cut_band(part, rows, window, shift, height) for part in cut)


def cut_band(lines: slice, rows: int, window: int, shift: int, height: int) -> Band:
    """Give the band of some lines of a map moved up by `shift`; rows past the last are empty.

    Numbers and lists alone decide: for those who trace networks they are constants.
    """
    start, stop = lines.start * window + shift, lines.stop * window + shift
    straight = range(start, min(stop, rows))
    wrapped = range(max(start, height) - height, min(max(stop, height) - height, rows))
    own = [*straight, *wrapped]
    taken = slice(own[0], own[-1] + 1) if own and own[-1] - own[0] == len(own) - 1 else None
    lower = wrapped.start + height - start if wrapped else len(straight)
    return Band(
        lines,
        torch.tensor(own, dtype=torch.long) if taken is None else taken,
        len(straight),
        lower - len(straight),
        stop - start - lower - len(wrapped),
        height,
    )
