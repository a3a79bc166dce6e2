"""A Swin block's map in bands of windows, so that a band at a time stays in the cache."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Band:
    """Some of the lines of windows of a map that was moved up, and filled with zeros below.

    Attributes:
        lines: Which lines of windows.
        rows: The map's own rows in them, in their order.
        slots: Where in the band these rows are; None if they are all of it.
        length: Rows of the band.
        height: Rows of the whole map, filled.
    """

    lines: slice
    rows: slice | Int[Tensor, " i"]
    slots: Int[Tensor, " i"] | None
    length: int
    height: int

    def fill(self, x: Float[Tensor, "b i w c"]) -> Float[Tensor, "b j w c"]:
        """Put rows of zeros where the map has none."""
        if self.slots is None:
            return x
        b, _, w, c = x.shape
        slots = self.slots.to(x.device)
        return x.new_zeros(b, self.length, w, c).index_copy(1, slots, x)

    def clear(self, x: Float[Tensor, "b j w c"]) -> Float[Tensor, "b i w c"]:
        """Undo `fill`."""
        return x if self.slots is None else x.index_select(1, self.slots.to(x.device))


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def bands(rows: int, window: int, shift: int, lines: int) -> tuple[Band, ...]:
    """Give the whole map as one band and, if it has more lines than that, bands of `lines`."""
    height = -(-rows // window) * window
    count = height // window
    cut = [slice(0, count)]
    if lines < count:
        cut += [slice(start, min(start + lines, count)) for start in range(0, count, lines)]
    order = (torch.arange(height) + shift) % height
    return tuple(cut_band(order, part, rows, window) for part in cut)


def cut_band(order: Int[Tensor, " h"], lines: slice, rows: int, window: int) -> Band:
    """Give the band of some lines; `order` lists rows of the map, those past the last are empty."""
    found = order[lines.start * window : lines.stop * window]
    own = (found < rows).nonzero()[:, 0]
    found, length = found[own], len(found)
    first = int(found[0]) if len(found) else 0
    straight = torch.equal(found, torch.arange(first, first + len(found)))
    taken = slice(first, first + len(found)) if straight else found
    slots = None if len(found) == length else own
    return Band(lines, taken, slots, length, len(order))
