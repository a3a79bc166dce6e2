"""Sampling points in a table of rows: their locations and the weights of their four neighbours.

The table lists the maps of a head row by row, each within a border of zeros, head after head.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unimask.kernels.rows import rows_per_block

BORDER = 2
"""Width of the border of zeros: a point clamped to it has four neighbours, all of them zero."""


class Grid(NamedTuple):
    """Layout of the table, per head and sampling point (`k` points per head).

    Attributes:
        width: Width of each point's map.
        height: Height of each point's map.
        stride: Number of table rows from a pixel to the one below it.
        origin: Table row of the upper left pixel of the point's map.
        steps: Table rows from a pixel to itself and its right, lower and lower right neighbour.
        last: Last table row from which all these steps stay inside the table.
    """

    width: Float[Tensor, " k"]
    height: Float[Tensor, " k"]
    stride: Int[Tensor, " k"]
    origin: Int[Tensor, "m k"]
    steps: Int[Tensor, "4 k"]
    last: int


class Points(NamedTuple):
    """Locations of sampling points in the table.

    Attributes:
        corner: Table row of the upper left neighbour.
        right: Horizontal distance of the point from that neighbour, from 0 to 1.
        down: Vertical distance of the point from that neighbour, from 0 to 1.
    """

    corner: Int[Tensor, "q m k"]
    right: Float[Tensor, "q m k"]
    down: Float[Tensor, "q m k"]


def planes(
    offsets: Float[Tensor, "b q m l p 2"], logits: Float[Tensor, "b q m l p"]
) -> tuple[Float[Tensor, "b q m k"], Float[Tensor, "b q m k"], Float[Tensor, "b q m k"]]:
    """Return x, y and the logits, each with the points of all levels along the last axis.

    They are views for most memory layouts.
    """
    x, y = offsets.unbind(-1)
    return x.flatten(3), y.flatten(3), logits.flatten(3)


def gradients_from_planes(
    grad_steps: Float[Tensor, "b q 2 m k"],
    grad_scores: Float[Tensor, "b q m k"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> tuple[Float[Tensor, "b q m l p 2"], Float[Tensor, "b q m l p"]]:
    """Convert gradients by plane to the shapes and dtypes of offsets and logits."""
    grad_offsets = grad_steps.unflatten(-1, logits.shape[3:]).movedim(2, -1)
    return grad_offsets.to(offsets.dtype), grad_scores.view(logits.shape).to(logits.dtype)


def add_border(
    value: Float[Tensor, "b n m c"], shapes: list[tuple[int, int]]
) -> Float[Tensor, "b m r c"]:
    """Build the table of each image and head: every map within its border of zeros."""
    b, _, m, c = value.shape
    tables = value.new_zeros(b, m, sum(h * w for h, w in bordered_shapes(shapes)), c)
    for interior, pixels in paired_maps(tables, value, shapes):
        interior.copy_(pixels)
    return tables


def bordered_projection(
    project: Callable[[Float[Tensor, "b q d"]], Float[Tensor, "b q d"]],
    memory: Float[Tensor, "b n d"],
    heads: int,
    shapes: list[tuple[int, int]],
) -> Float[Tensor, "b m r c"]:
    """Build the table of projected memory in float32 or wider, without a copy of all values.

    Args:
        project: Projection of memory to the values of all heads side by side.
        memory: Features of all positions of all levels.
        heads: Number of heads.
        shapes: Height and width of each level.
    """
    (b, _, d), dtype = memory.shape, torch.promote_types(memory.dtype, torch.float32)
    rows = sum(h * w for h, w in bordered_shapes(shapes))
    tables = memory.new_zeros(b, heads, rows, d // heads, dtype=dtype)
    parts = memory.split([h * w for h, w in shapes], dim=1)
    for interior, part, (h, w) in zip(interiors(tables, shapes), parts, shapes, strict=True):
        step = max(1, rows_per_block(memory, h * w, batch=b) // w)
        for start in range(0, h, step):
            value = project(part[:, start * w : (start + step) * w])
            lines = value.unflatten(-1, (heads, -1)).transpose(1, 2).unflatten(2, (-1, w))
            interior[:, :, start : start + step] = lines
    return tables


def remove_border(
    tables: Float[Tensor, "b m r c"], shapes: list[tuple[int, int]], positions: int
) -> Float[Tensor, "b n m c"]:
    """Return the values from a table that `add_border` built."""
    b, m, _, c = tables.shape
    value = tables.new_empty(b, positions, m, c)
    for interior, pixels in paired_maps(tables, value, shapes):
        pixels.copy_(interior)
    return value


def paired_maps(
    tables: Float[Tensor, "b m r c"],
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
) -> list[tuple[Float[Tensor, "b m h w c"], Float[Tensor, "b m h w c"]]]:
    """Return views of every map in the table and in the values."""
    own = value.transpose(1, 2).split([h * w for h, w in shapes], dim=2)
    return [
        (interior, pixels.unflatten(2, size))
        for interior, pixels, size in zip(interiors(tables, shapes), own, shapes, strict=True)
    ]


def interiors(
    tables: Float[Tensor, "b m r c"], shapes: list[tuple[int, int]]
) -> list[Float[Tensor, "b m h w c"]]:
    """Return a view of every map in the table, without its border."""
    outer, inner = bordered_shapes(shapes), slice(BORDER, -BORDER)
    levels = tables.split([h * w for h, w in outer], dim=2)
    return [
        level.unflatten(2, around)[:, :, inner, inner]
        for level, around in zip(levels, outer, strict=True)
    ]


def bordered_shapes(shapes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the height and width of each map with its border."""
    return [(h + 2 * BORDER, w + 2 * BORDER) for h, w in shapes]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def table_grid(
    shapes: tuple[tuple[int, int], ...], heads: int, points: int, device: torch.device
) -> Grid:
    """Compute the layout of the table of `heads` heads with `points` points per map."""
    origins, rows = [], 0
    for h, w in bordered_shapes(list(shapes)):
        origins.append(rows + BORDER * w + BORDER)
        rows += h * w

    def per_point(numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int32, device=device).repeat_interleave(points)

    stride = per_point([w + 2 * BORDER for _, w in shapes])
    steps = torch.stack([0 * stride, 0 * stride + 1, stride, stride + 1])
    head = torch.arange(heads, dtype=torch.int32, device=device)[:, None]
    height = per_point([h for h, _ in shapes]).float()
    width = per_point([w for _, w in shapes]).float()
    last = rows * heads - 1 - int(steps.max())
    return Grid(width, height, stride, per_point(origins) + head * rows, steps, last)


def locate(
    grid: Grid,
    centres: Float[Tensor, "q 2"],
    steps_x: Float[Tensor, "q m k"],
    steps_y: Float[Tensor, "q m k"],
) -> Points:
    """Locate each sampling point between four rows of the table.

    Args:
        grid: Layout of the table.
        centres: Centre (x, y) of each query, from 0 to 1.
        steps_x: Horizontal offsets in pixels of each point's map.
        steps_y: Vertical offsets.
    """
    column, right = split_location(centres[:, 0], steps_x, grid.width)
    line, down = split_location(centres[:, 1], steps_y, grid.height)
    corner = line.mul_(grid.stride).add_(column).add_(grid.origin)
    # A NaN location must still index an existing row; its weights are NaN.
    return Points(corner.clamp_(0, grid.last), right, down)


def split_location(
    centres: Float[Tensor, " q"], steps: Float[Tensor, "q m k"], extent: Float[Tensor, " k"]
) -> tuple[Int[Tensor, "q m k"], Float[Tensor, "q m k"]]:
    """Split locations along one axis into the pixel at or before each point, and the remainder.

    Points outside the map are clamped to the border of zeros.
    """
    extent = extent.to(steps.dtype)
    start = torch.outer(centres, extent).sub_(0.5)
    location = steps + start[:, None]
    location = location.clamp_(torch.full_like(extent, -BORDER), extent)
    pixel = location.floor()
    return pixel.int(), location.sub_(pixel)


def short_softmax(logits: Float[Tensor, "... k"]) -> Float[Tensor, "... k"]:
    """Compute the softmax over a short last axis, where PyTorch's takes five times as long."""
    weights = (logits - logits.amax(-1, keepdim=True)).exp_()
    return weights.div_(weights.sum(-1, keepdim=True))


def neighbour_rows(grid: Grid, points: Points) -> Int[Tensor, "n j"]:
    """Return the table rows that each query and head reads: columns of the sparse matrix."""
    return (points.corner[:, :, None] + grid.steps).flatten(2).flatten(0, 1)


def neighbour_weights(points: Points, weights: Float[Tensor, "q m k"]) -> Float[Tensor, "n j"]:
    """Distribute each weight over the four neighbours: entries of the sparse matrix."""
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


def input_gradients(
    points: Points,
    weights: Float[Tensor, "q m k"],
    dots: Float[Tensor, "q m 4 k"],
    out: tuple[Float[Tensor, "q m k"], Float[Tensor, "q m k"], Float[Tensor, "q m k"]],
) -> None:
    """Compute the gradients of x, y and the logits, and write them to `out`.

    Args:
        points: Locations of the sampling points.
        weights: Attention weights, the softmax of the logits.
        dots: Gradients of the entries of the sparse matrix.
        out: Tensors for the gradients of x, y and the logits.
    """
    grad_x, grad_y, grad_logits = out
    upper_left, upper_right, lower_left, lower_right = dots.unbind(2)
    across, along = upper_right - upper_left, lower_left - upper_left
    twist = lower_right - lower_left - across
    grad_weights = torch.addcmul(upper_left, points.right, across)
    grad_right = across.addcmul_(points.down, twist)
    grad_down = along.addcmul_(points.right, twist)
    grad_weights.addcmul_(points.down, grad_down)
    torch.mul(grad_right, weights, out=grad_x)
    torch.mul(grad_down, weights, out=grad_y)
    grad_weights -= (grad_weights * weights).sum(-1, keepdim=True)
    torch.mul(grad_weights, weights, out=grad_logits)
