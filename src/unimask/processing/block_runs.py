"""Run lengths of masks from blocks of pixels, without a full-size bitmap."""

from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int
from torch import Tensor

from unimask.formats.run_length import RunLength
from unimask.processing.blocks import Grid

RunArrays = tuple[np.ndarray, np.ndarray]
"""Start and length of each run."""


class MaskRuns:
    """Collection of the runs of several masks, added in any order.

    A run starts at mask * pixels + offset, where offsets count down the columns.

    Args:
        size: Height and width of the masks.
        count: Number of masks.
    """

    def __init__(self, size: tuple[int, int], count: int) -> None:
        self.size = size
        self.count = count
        self.runs: list[RunArrays] = []

    def add_full_blocks(self, grid: Grid, whole: Bool[Tensor, "q n"]) -> None:
        """Add blocks that lie entirely inside masks."""
        (down, across), (height, width) = grid.shape, grid.side
        filled = np.zeros((len(whole), across, down + 1), bool)
        filled[..., :-1] = whole.cpu().numpy().reshape(-1, down, across).transpose(0, 2, 1)
        starts, lengths = find_runs_of_ones(filled.reshape(-1))
        lines, first = np.divmod(starts, down + 1)
        masks, columns = np.divmod(lines, across)
        places = self.pixel_offsets(grid, masks, columns, first)
        places = places[:, None] + np.arange(width) * self.size[0]
        self.runs.append((places.ravel(), np.repeat(lengths * height, width)))

    def add_partial_blocks(
        self,
        grid: Grid,
        masks: Int[Tensor, " m"],
        blocks: Int[Tensor, " m"],
        inside: Bool[Tensor, "m a b"],
    ) -> None:
        """Add blocks that lie partly inside a mask."""
        height, width = grid.side
        lined = np.zeros((len(inside), width, height + 1), bool)
        lined[..., :-1] = inside.cpu().numpy()
        starts, lengths = find_runs_of_ones(lined.reshape(-1))
        lines, row = np.divmod(starts, height + 1)
        block, column = np.divmod(lines, width)
        down, across = np.divmod(blocks.cpu().numpy(), grid.shape[1])
        corners = self.pixel_offsets(grid, masks.cpu().numpy(), across, down)
        self.runs.append((corners[block] + column * self.size[0] + row, lengths))

    def pixel_offsets(
        self,
        grid: Grid,
        masks: Int[np.ndarray, " n"],
        columns: Int[np.ndarray, " n"],
        rows: Int[np.ndarray, " n"],
    ) -> Int[np.ndarray, " n"]:
        """Return the offset of each block's first pixel, counted over all masks."""
        (height, width), side = self.size, grid.side
        x, y = grid.left + columns * side[1], grid.top + rows * side[0]
        return (masks * width + x) * height + y

    def to_run_lengths(self) -> list[RunLength]:
        """Merge the runs of each mask and return the masks."""
        starts, lengths = (np.concatenate(parts) for parts in zip(*self.runs, strict=True))
        order = starts.argsort()
        starts, lengths = starts[order], lengths[order]
        pixels = self.size[0] * self.size[1]
        bounds = np.searchsorted(starts, np.arange(self.count + 1) * pixels)
        return [
            RunLength.from_runs(
                self.size, starts[first:last] - number * pixels, lengths[first:last]
            )
            for number, (first, last) in enumerate(pairwise(bounds))
        ]


def find_runs_of_ones(flat: Bool[np.ndarray, " n"]) -> RunArrays:
    """Return starts and lengths of the runs of ones in lines that each end in a zero."""
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat.size and flat[0]:
        edges = np.concatenate([[0], edges])
    return edges[0::2], edges[1::2] - edges[0::2]
