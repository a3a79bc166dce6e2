"""Computation of full-size maps in small blocks, most of which are decided by bounds alone.

Every value of a block is a weighted mean of a few mask logits and lies between their extremes.
Where these bounds decide the result, no pixel is computed; other blocks are computed in batches.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Real, Shaped
from torch import Tensor

from unimask.processing.resize import Resizer, Windows

BLOCK_SIDE = 32
"""Side of a block in pixels. Smaller blocks leave fewer undecided pixels."""

MAX_GRID_BOUNDS = 2**18
"""Number of extremes in memory at a time; it bounds the width of a grid."""

MAX_BATCH_VALUES = 2**20
"""Number of values computed at a time, so that they stay in the CPU's cache."""

GPU_FACTOR = 64
"""Factor on both numbers for a GPU, whose kernels need more work per launch."""


class Grid(NamedTuple):
    """Rectangle of the map, divided into equal blocks that are numbered row by row.

    Attributes:
        top: First row of the map.
        left: First column of the map.
        rows: Input windows of each row of blocks.
        columns: Input windows of each column of blocks.
    """

    top: int
    left: int
    rows: Windows
    columns: Windows

    @property
    def shape(self) -> tuple[int, int]:
        """Number of blocks vertically and horizontally."""
        return len(self.rows.starts), len(self.columns.starts)

    @property
    def side(self) -> tuple[int, int]:
        """Height and width of a block."""
        return self.rows.weights.shape[1], self.columns.weights.shape[1]

    @property
    def area(self) -> int:
        """Number of pixels of a block."""
        return self.side[0] * self.side[1]

    def block_view(self, target: Shaped[Tensor, "x y"]) -> Shaped[Tensor, "i a j b"]:
        """Return the grid's part of a transposed map, indexed by block column, x, block row, y."""
        (down, across), (height, width) = self.shape, self.side
        part = target[self.left : self.left + across * width, self.top : self.top + down * height]
        return part.unflatten(0, (across, width)).unflatten(2, (down, height))

    def fill_blocks(self, target: Int[Tensor, "x y"], values: Real[Tensor, " n"]) -> None:
        """Write one value per block into a transposed map."""
        columns = values.to(target.dtype).view(self.shape).T.repeat_interleave(self.side[0], dim=1)
        self.block_view(target).flatten(2).copy_(columns[:, None])

    def write_pixels(
        self, target: Real[Tensor, "x y"], blocks: Int[Tensor, " m"], values: Real[Tensor, "m a b"]
    ) -> None:
        """Write the pixels of some blocks into a transposed map."""
        across = self.shape[1]
        self.block_view(target)[blocks % across, :, blocks // across] = values.to(target.dtype)

    def read_pixels(
        self, source: Shaped[Tensor, "x y"], blocks: Int[Tensor, " m"]
    ) -> Shaped[Tensor, "m a b"]:
        """Return the pixels of some blocks of a transposed map."""
        across = self.shape[1]
        return self.block_view(source)[blocks % across, :, blocks // across]


def iterate_grids(resizer: Resizer, device: torch.device, masks: int) -> Iterator[Grid]:
    """Divide a map into grids of blocks, narrow enough for the extremes of `masks` masks."""
    height, width = resizer.size
    max_columns = MAX_GRID_BOUNDS * (1 if device.type == "cpu" else GPU_FACTOR) // max(1, masks)
    for top, down, side_y in group_blocks(height, height):
        rows = resizer.rows.windows(block_positions(top, down, side_y)).to(device)
        for left, across, side_x in group_blocks(width, max(1, max_columns // down)):
            columns = resizer.columns.windows(block_positions(left, across, side_x)).to(device)
            yield Grid(top, left, rows, columns)


def block_positions(start: int, count: int, side: int) -> Int[Tensor, "n o"]:
    """Return the positions along an axis, block by block."""
    return start + torch.arange(count * side).view(count, side)


def source_grid(grid: Grid, resizer: Resizer) -> Grid:
    """Return the inputs of each block in another map, as overlapping blocks of that map."""
    rows, columns = (
        axis.windows(windows.starts.cpu()[:, None] + torch.arange(windows.weights.shape[2]))
        for axis, windows in zip(resizer, grid[2:], strict=True)
    )
    return Grid(
        grid.top, grid.left, *(part.to(grid.rows.starts.device) for part in (rows, columns))
    )


def group_blocks(length: int, max_blocks: int) -> Iterator[tuple[int, int, int]]:
    """Divide a length into groups of at most `max_blocks` blocks; yield start, count and side."""
    whole = length // BLOCK_SIDE
    for first in range(0, whole, max_blocks):
        yield first * BLOCK_SIDE, min(max_blocks, whole - first), BLOCK_SIDE
    if length % BLOCK_SIDE:
        yield whole * BLOCK_SIDE, 1, length % BLOCK_SIDE


def logit_bounds(
    mask_logits: Float[Tensor, "q h w"], grid: Grid
) -> tuple[Float[Tensor, "q n"], Float[Tensor, "q n"]]:
    """Return the smallest and the largest logit that each block depends on."""
    windows = grid.columns
    left = int(windows.starts[0])
    right = int(windows.starts[-1]) + windows.weights.shape[2]
    windows = windows._replace(starts=windows.starts - left)
    lowest, highest = (
        reduce_windows(
            reduce_windows(mask_logits[:, :, left:right], 1, grid.rows, reduce), 2, windows, reduce
        ).flatten(1)
        for reduce in (torch.minimum, torch.maximum)
    )
    return lowest, highest


def reduce_windows(
    values: Float[Tensor, "q h w"],
    dim: int,
    windows: Windows,
    reduce: Callable[[Tensor, Tensor], Tensor],
) -> Float[Tensor, "q _ _"]:
    """Reduce each window along an axis with `reduce`, in a logarithmic number of steps."""
    length, size = windows.weights.shape[2], 1
    while 2 * size <= length:
        length_left = values.shape[dim] - size
        values = reduce(values.narrow(dim, 0, length_left), values.narrow(dim, size, length_left))
        size *= 2
    first = values.index_select(dim, windows.starts)
    if size == length:
        return first
    return reduce(first, values.index_select(dim, windows.starts + length - size))


class BlockResizer(NamedTuple):
    """Selected blocks of a grid, with the inputs and weights that resize a mask to them.

    Attributes:
        places: Flat positions of the input logits within a mask: column, then row.
        columns: Interpolation weights along the width.
        rows: Interpolation weights along the height.
    """

    places: Int[Tensor, "m p r"]
    columns: Float[Tensor, "m a p"]
    rows: Float[Tensor, "m r b"]

    def resize(
        self, mask_logits: Float[Tensor, "q h w"], queries: Int[Tensor, "m n"]
    ) -> Float[Tensor, "m n a b"]:
        """Resize the masks `queries` of each block; a indexes columns and b rows of its pixels."""
        first = (queries * mask_logits[0].numel())[..., None, None]
        index = self.places[:, None] + first
        patches = mask_logits.flatten().index_select(0, index.flatten())
        lines = torch.bmm(patches.view(len(queries), -1, index.shape[3]), self.rows)
        return self.columns[:, None] @ lines.unflatten(1, index.shape[1:3])


def block_resizer(grid: Grid, blocks: Int[Tensor, " m"], width: int) -> BlockResizer:
    """Return the inputs and weights of selected blocks for masks of `width` columns."""
    down, across = blocks // grid.shape[1], blocks % grid.shape[1]
    offsets = [torch.arange(part.weights.shape[2], device=blocks.device) for part in grid[2:]]
    rows = grid.rows.starts[down, None] + offsets[0]
    columns = grid.columns.starts[across, None] + offsets[1]
    index = columns[:, :, None] + (rows * width)[:, None, :]
    across_weights = grid.columns.weights.index_select(0, across)
    return BlockResizer(
        index, across_weights, grid.rows.weights.mT.contiguous().index_select(0, down)
    )


def group_by_count(
    selected: Bool[Tensor, "q n"],
) -> Iterator[tuple[Int[Tensor, " m"], Int[Tensor, "m _"]]]:
    """Group blocks by their number of chosen masks; yield each group's blocks and masks."""
    counts = selected.sum(0)
    order = counts.argsort(stable=True)
    queries = selected[:, order].T.nonzero()[:, 1]
    distinct, numbers = counts[order].unique_consecutive(return_counts=True)
    block = query = 0
    for count, number in zip(distinct.tolist(), numbers.tolist(), strict=True):
        if count:
            group = order[block : block + number]
            yield group, queries[query : query + number * count].view(number, count)
        block, query = block + number, query + number * count


def batch_slices(count: int, values: int, device: torch.device) -> Iterator[slice]:
    """Divide `count` blocks of `values` values each into slices that are computed at a time."""
    step = max(1, MAX_BATCH_VALUES * (1 if device.type == "cpu" else GPU_FACTOR) // max(1, values))
    for start in range(0, count, step):
        yield slice(start, start + step)


def first_argmax(
    numbers: Int[Tensor, "m n"], values: Float[Tensor, "m n a b"]
) -> tuple[Int[Tensor, "m a b"], Float[Tensor, "m a b"]]:
    """Return the number with the largest value (the first of equals) and that value.

    Everything is computed in floats and in place, since argmax takes five times as long on a CPU.

    Args:
        numbers: Number that each of a block's values belongs to.
        values: Values to compare; overwritten.
    """
    best = values.amax(1)
    torch.eq(values, best[:, None], out=values)
    count = numbers.shape[1]
    values.mul_(torch.arange(count, 0, -1, device=values.device)[:, None, None])
    position = (count - values.amax(1)).long()
    return numbers.gather(1, position.flatten(1)).view(best.shape), best


def label_map_dtype(largest: int) -> torch.dtype:
    """Return the smaller integer type that holds -`largest` to `largest`."""
    return torch.int16 if largest < 2**15 else torch.int32
