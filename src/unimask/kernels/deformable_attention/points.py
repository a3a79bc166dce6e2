"""Sampling points as rows of a table: where each lies, and how it weighs its four neighbours.

The maps of a head are listed row by row, each within a border of zeros, one head after the other.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unimask.kernels.rows import rows_at_a_time

BORDER = 2
"""Zeros around each map: a point clamped to them has four neighbours, and all of them are zero."""


class Grid(NamedTuple):
    """The maps as a table of rows, one for each head and position; `k` points for each head."""

    width: Float[Tensor, " k"]
    """Of each point's map."""
    height: Float[Tensor, " k"]
    stride: Int[Tensor, " k"]
    """Rows of the table from a pixel to the one below."""
    origin: Int[Tensor, "m k"]
    """Row of the map's upper left pixel."""
    steps: Int[Tensor, "4 k"]
    """Rows from a pixel to itself and its right, lower and lower right neighbour."""
    last: int
    """The last row from which all these steps stay inside the table."""


class Points(NamedTuple):
    """Where sampling points lie in the table of rows."""

    corner: Int[Tensor, "q m k"]
    """Row of the upper left neighbour."""
    right: Float[Tensor, "q m k"]
    """How far the point lies beyond it, from 0 to 1."""
    down: Float[Tensor, "q m k"]


def planes(
    offsets: Float[Tensor, "b q m l p 2"], logits: Float[Tensor, "b q m l p"]
) -> tuple[Float[Tensor, "b q m k"], Float[Tensor, "b q m k"], Float[Tensor, "b q m k"]]:
    """Give x and y of the offsets, and the logits, each with the points of all levels in a row.

    They are views of most layouts: nothing below mixes the three.
    """
    x, y = offsets.unbind(-1)
    return x.flatten(3), y.flatten(3), logits.flatten(3)


def from_planes(
    to_steps: Float[Tensor, "b q 2 m k"],
    to_scores: Float[Tensor, "b q m k"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> tuple[Float[Tensor, "b q m l p 2"], Float[Tensor, "b q m l p"]]:
    """Give gradients by plane the shapes and types of what they belong to."""
    to_offsets = to_steps.unflatten(-1, logits.shape[3:]).movedim(2, -1)
    return to_offsets.to(offsets.dtype), to_scores.view(logits.shape).to(logits.dtype)


def bordered(
    value: Float[Tensor, "b n m c"], shapes: list[tuple[int, int]]
) -> Float[Tensor, "b m r c"]:
    """List each picture's and head's positions, each map within its border of zeros."""
    b, _, m, c = value.shape
    tables = value.new_zeros(b, m, sum(h * w for h, w in with_border(shapes)), c)
    for inside, pixels in maps(tables, value, shapes):
        inside.copy_(pixels)
    return tables


def bordered_projection(
    project: Callable[[Float[Tensor, "b q d"]], Float[Tensor, "b q d"]],
    memory: Float[Tensor, "b n d"],
    heads: int,
    shapes: list[tuple[int, int]],
) -> Float[Tensor, "b m r c"]:
    """Give `bordered` of values that a layer makes, in float32 at least, without all of these."""
    (b, _, d), dtype = memory.shape, torch.promote_types(memory.dtype, torch.float32)
    rows = sum(h * w for h, w in with_border(shapes))
    tables = memory.new_zeros(b, heads, rows, d // heads, dtype=dtype)
    parts = memory.split([h * w for h, w in shapes], dim=1)
    for inside, part, (h, w) in zip(insides(tables, shapes), parts, shapes, strict=True):
        step = max(1, rows_at_a_time(memory, h * w, pictures=b) // w)
        for start in range(0, h, step):
            value = project(part[:, start * w : (start + step) * w])
            lines = value.unflatten(-1, (heads, -1)).transpose(1, 2).unflatten(2, (-1, w))
            inside[:, :, start : start + step] = lines
    return tables


def without_border(
    tables: Float[Tensor, "b m r c"], shapes: list[tuple[int, int]], positions: int
) -> Float[Tensor, "b n m c"]:
    """Undo `bordered`."""
    b, m, _, c = tables.shape
    value = tables.new_empty(b, positions, m, c)
    for inside, pixels in maps(tables, value, shapes):
        pixels.copy_(inside)
    return value


def maps(
    tables: Float[Tensor, "b m r c"],
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
) -> list[tuple[Float[Tensor, "b m h w c"], Float[Tensor, "b m h w c"]]]:
    """Give every map as it lies in both."""
    own = value.transpose(1, 2).split([h * w for h, w in shapes], dim=2)
    return [
        (inside, pixels.unflatten(2, size))
        for inside, pixels, size in zip(insides(tables, shapes), own, shapes, strict=True)
    ]


def insides(
    tables: Float[Tensor, "b m r c"], shapes: list[tuple[int, int]]
) -> list[Float[Tensor, "b m h w c"]]:
    """Give every map in its border."""
    outer, inner = with_border(shapes), slice(BORDER, -BORDER)
    levels = tables.split([h * w for h, w in outer], dim=2)
    return [
        level.unflatten(2, around)[:, :, inner, inner]
        for level, around in zip(levels, outer, strict=True)
    ]


def with_border(shapes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Give the sizes of the maps, borders counted."""
    return [(h + 2 * BORDER, w + 2 * BORDER) for h, w in shapes]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def lay_grid(
    shapes: tuple[tuple[int, int], ...], heads: int, points: int, device: torch.device
) -> Grid:
    """Number the rows of the tables of some heads, which have `points` points on each map."""
    origins, rows = [], 0
    for h, w in with_border(list(shapes)):
        origins.append(rows + BORDER * w + BORDER)
        rows += h * w

    def of_each_point(numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int32, device=device).repeat_interleave(points)

    stride = of_each_point([w + 2 * BORDER for _, w in shapes])
    steps = torch.stack([0 * stride, 0 * stride + 1, stride, stride + 1])
    head = torch.arange(heads, dtype=torch.int32, device=device)[:, None]
    height = of_each_point([h for h, _ in shapes]).float()
    width = of_each_point([w for _, w in shapes]).float()
    last = rows * heads - 1 - int(steps.max())
    return Grid(width, height, stride, of_each_point(origins) + head * rows, steps, last)


def locate(
    grid: Grid,
    centres: Float[Tensor, "q 2"],
    steps_x: Float[Tensor, "q m k"],
    steps_y: Float[Tensor, "q m k"],
) -> Points:
    """Find each point's place between four rows of the table."""
    column, right = whole_and_rest(centres[:, 0], steps_x, grid.width)
    line, down = whole_and_rest(centres[:, 1], steps_y, grid.height)
    corner = line.mul_(grid.stride).add_(column).add_(grid.origin)
    # A location that is not a number has no place: its weights say so, its rows must exist.
    return Points(corner.clamp_(0, grid.last), right, down)


def whole_and_rest(
    centres: Float[Tensor, " q"], steps: Float[Tensor, "q m k"], extent: Float[Tensor, " k"]
) -> tuple[Int[Tensor, "q m k"], Float[Tensor, "q m k"]]:
    """Give the pixel at or before each point, along one axis, and how far beyond it the point is.

    Points outside are moved into the border, where all is zero.
    """
    extent = extent.to(steps.dtype)
    start = torch.outer(centres, extent).sub_(0.5)
    place = steps + start[:, None]
    place = place.clamp_(torch.full_like(extent, -BORDER), extent)
    whole = place.floor()
    return whole.int(), place.sub_(whole)


def softmax_of_few(logits: Float[Tensor, "... k"]) -> Float[Tensor, "... k"]:
    """Give the softmax over a short last axis, where PyTorch's own takes five times as long."""
    weights = (logits - logits.amax(-1, keepdim=True)).exp_()
    return weights.div_(weights.sum(-1, keepdim=True))


def neighbours(grid: Grid, points: Points) -> Int[Tensor, "n j"]:
    """List the rows that each query and head reads: the columns of the sparse matrix."""
    return (points.corner[:, :, None] + grid.steps).flatten(2).flatten(0, 1)


def entries(points: Points, weights: Float[Tensor, "q m k"]) -> Float[Tensor, "n j"]:
    """Share each weight among its four neighbours: the entries of the sparse matrix."""
    q, m, k = weights.shape
    matrix = weights.new_empty(q, m, 4, k)
    upper_left, upper_right, lower_left, lower_right = matrix.unbind(2)
    lower = weights * points.down
    upper = weights - lower
    torch.mul(upper, points.right, out=upper_right)
    torch.mul(lower, points.right, out=lower_right)
    torch.sub(upper, upper_right, out=upper_left)
    torch.sub(lower, lower_right, out=lower_left)
    return matrix.view(q * m, 4 * k)


def to_inputs(
    points: Points,
    weights: Float[Tensor, "q m k"],
    dots: Float[Tensor, "q m 4 k"],
    out: tuple[Float[Tensor, "q m k"], Float[Tensor, "q m k"], Float[Tensor, "q m k"]],
) -> None:
    """Turn gradients of entries into those of x, y and the logits, and write them to `out`."""
    to_x, to_y, to_logits = out
    upper_left, upper_right, lower_left, lower_right = dots.unbind(2)
    across, along = upper_right - upper_left, lower_left - upper_left
    twist = lower_right - lower_left - across
    to_weights = torch.addcmul(upper_left, points.right, across)
    to_right = across.addcmul_(points.down, twist)
    to_down = along.addcmul_(points.right, twist)
    to_weights.addcmul_(points.down, to_down)
    torch.mul(to_right, weights, out=to_x)
    torch.mul(to_down, weights, out=to_y)
    to_weights -= (to_weights * weights).sum(-1, keepdim=True)
    torch.mul(to_weights, weights, out=to_logits)
