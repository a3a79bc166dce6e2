"""Deformable attention on a CPU: every sample is four weighted rows of one embedding bag.

Seen as algebra, the samples are one sparse matrix: a row for each query and head, and in it the
weights of the value rows that it reads. The output is that matrix times the values; the gradient
of the values is its transpose times the gradient of the output; the gradient of its entries is
one dot product each. All three run over memory once, without the tensor of samples that
`grid_sample` writes and reads again.

The matrix itself is made a few hundred queries at a time, so that its arithmetic stays in the
cache; the backward pass makes it again rather than keep it.
"""

import warnings
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

BORDER = 2
"""Zeros around each map: a point clamped to them has four neighbours, and all of them are zero."""

BLOCK = 2**17
"""Sampling points whose place is found at a time: each step of it then fits the inner caches."""


class Grid(NamedTuple):
    """The maps as a table of rows, one for each position and head; `k` points for each head."""

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


def deformable_attention_gather(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Give what `deformable_attention_reference` defines.

    The arithmetic is float32 or wider: on a CPU half precision would be slower here.
    """
    dtype = torch.promote_types(value.dtype, torch.float32)
    # Planes of x and y, whatever the layout they come in: nothing below mixes the two.
    steps_x, steps_y = (plane.flatten(3) for plane in offsets.to(dtype).unbind(-1))
    planes = steps_x, steps_y, logits.to(dtype).flatten(3)
    return _Gather.apply(value.to(dtype), centres.to(dtype), *planes, shapes).to(value.dtype)


class _Gather(torch.autograd.Function):
    """The product and its gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        centres: Tensor,
        steps_x: Tensor,
        steps_y: Tensor,
        logits: Tensor,
        shapes: list[tuple[int, int]],
    ) -> Tensor:
        ctx.save_for_backward(value, centres, steps_x, steps_y, logits)
        ctx.shapes = shapes
        b, _, m, c = value.shape
        q, k = logits.shape[1], logits.shape[3]
        grid = lay_grid(tuple(shapes), m, k // len(shapes))
        tables = bordered_rows(value, shapes)
        out = value.new_empty(b, q, m * c)
        for picture, table in enumerate(tables):
            for block in blocks(q, m * k):
                steps = steps_x[picture, block], steps_y[picture, block]
                points = locate(grid, centres[block], *steps)
                weights = softmax_of_few(logits[picture, block])
                matrix = entries(points, weights).flatten(0, 1)
                rows = neighbours(grid, points).flatten(0, 1)
                bags = F.embedding_bag(rows, table, mode="sum", per_sample_weights=matrix)
                out[picture, block] = bags.view(-1, m * c)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        value, centres, steps_x, steps_y, logits = ctx.saved_tensors
        m, k = logits.shape[2:]
        grid = lay_grid(tuple(ctx.shapes), m, k // len(ctx.shapes))
        tables = bordered_rows(value, ctx.shapes)
        to_tables = torch.empty_like(tables)
        to_x, to_y, to_logits = (torch.empty_like(logits) for _ in range(3))
        for picture, table in enumerate(tables):
            points = locate(grid, centres, steps_x[picture], steps_y[picture])
            weights = softmax_of_few(logits[picture])
            rows = neighbours(grid, points).flatten(0, 1)
            matrix = entries(points, weights).flatten(0, 1)
            bags = out[picture].reshape(-1, table.shape[1])
            to_tables[picture] = transposed_product(rows, matrix, bags, len(table))
            dots = dot_products(rows, bags, table, out=matrix).view(-1, m, 4, k)
            to_right, to_down, to_weights = chain(points, dots)
            torch.mul(to_right, weights, out=to_x[picture])
            torch.mul(to_down, weights, out=to_y[picture])
            to_weights -= (to_weights * weights).sum(-1, keepdim=True)
            torch.mul(to_weights, weights, out=to_logits[picture])
        to_value = without_border(to_tables, ctx.shapes, value.shape)
        return to_value, None, to_x, to_y, to_logits, None


def blocks(queries: int, points: int) -> Iterator[slice]:
    """Cut the queries into runs with about `BLOCK` points."""
    step = max(1, BLOCK // points)
    return (slice(start, min(start + step, queries)) for start in range(0, queries, step))


def bordered_rows(
    value: Float[Tensor, "b n m c"], shapes: list[tuple[int, int]]
) -> Float[Tensor, "b r c"]:
    """List each picture's rows (position, head), each map within its border of zeros."""
    border = (0, 0, 0, 0, BORDER, BORDER, BORDER, BORDER)
    levels = value.split([h * w for h, w in shapes], dim=1)
    maps = [
        F.pad(level.unflatten(1, size), border).flatten(1, 2)
        for level, size in zip(levels, shapes, strict=True)
    ]
    return torch.cat(maps, dim=1).flatten(1, 2)


def without_border(
    rows: Float[Tensor, "b r c"], shapes: list[tuple[int, int]], value_shape: torch.Size
) -> Float[Tensor, "b n m c"]:
    """Undo `bordered_rows`."""
    b, _, m, c = value_shape
    sizes = [(h + 2 * BORDER, w + 2 * BORDER) for h, w in shapes]
    levels = rows.view(b, -1, m, c).split([h * w for h, w in sizes], dim=1)
    inner = slice(BORDER, -BORDER)
    maps = [
        level.unflatten(1, size)[:, inner, inner].flatten(1, 2)
        for level, size in zip(levels, sizes, strict=True)
    ]
    return torch.cat(maps, dim=1)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def lay_grid(shapes: tuple[tuple[int, int], ...], heads: int, points: int) -> Grid:
    """Number the rows of maps of these shapes; each head has `points` points on each."""
    origins, start = [], 0
    for h, w in shapes:
        width = w + 2 * BORDER
        origins.append(start + BORDER * width + BORDER)
        start += (h + 2 * BORDER) * width

    def of_each_point(numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int32).repeat_interleave(points)

    stride = of_each_point([(w + 2 * BORDER) * heads for _, w in shapes])
    steps = torch.stack([0 * stride, 0 * stride + heads, stride, stride + heads])
    origin = of_each_point([row * heads for row in origins]) + torch.arange(heads).int()[:, None]
    height = of_each_point([h for h, _ in shapes]).float()
    width = of_each_point([w for _, w in shapes]).float()
    return Grid(width, height, stride, origin, steps, start * heads - 1 - int(steps.max()))


def locate(
    grid: Grid,
    centres: Float[Tensor, "q 2"],
    steps_x: Float[Tensor, "q m k"],
    steps_y: Float[Tensor, "q m k"],
) -> Points:
    """Find each point's place between four rows of the table."""
    column, right = whole_and_rest(centres[:, 0], steps_x, grid.width)
    line, down = whole_and_rest(centres[:, 1], steps_y, grid.height)
    corner = line.mul_(grid.stride).add_(column, alpha=len(grid.origin)).add_(grid.origin)
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


def neighbours(grid: Grid, points: Points) -> Int[Tensor, "q m j"]:
    """List the rows that each query and head reads: the columns of the sparse matrix."""
    return (points.corner[:, :, None] + grid.steps).flatten(2)


def entries(points: Points, weights: Float[Tensor, "q m k"]) -> Float[Tensor, "q m j"]:
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
    return matrix.flatten(2)


def chain(
    points: Points, dots: Float[Tensor, "q m 4 k"]
) -> tuple[Float[Tensor, "q m k"], Float[Tensor, "q m k"], Float[Tensor, "q m k"]]:
    """Turn gradients of entries into those of `right`, `down` (both per weight) and the weights."""
    upper_left, upper_right, lower_left, lower_right = dots.unbind(2)
    across, along = upper_right - upper_left, lower_left - upper_left
    twist = lower_right - lower_left - across
    to_right = torch.addcmul(across, points.down, twist)
    to_down = torch.addcmul(along, points.right, twist)
    to_weights = torch.addcmul(upper_left, points.right, across)
    return to_right, to_down, to_weights.addcmul_(points.down, to_down)


def transposed_product(
    rows: Int[Tensor, "n j"], matrix: Float[Tensor, "n j"], bags: Float[Tensor, "n c"], length: int
) -> Float[Tensor, "r c"]:
    """Add each bag to the rows that it read, weighted.

    SciPy does it in one pass; PyTorch's own ways sort the rows first and take five times longer.
    """
    size = (len(rows), length)
    parts = (matrix.flatten().numpy(), rows.flatten().numpy(), row_starts(rows).numpy())
    return torch.from_numpy(csr_matrix(parts, shape=size, copy=False).T @ bags.numpy())


def dot_products(
    rows: Int[Tensor, "n j"],
    bags: Float[Tensor, "n c"],
    table: Float[Tensor, "r c"],
    *,
    out: Float[Tensor, "n j"],
) -> Float[Tensor, "n j"]:
    """Multiply each bag with the rows that it read; the memory of `out` is used."""
    silence_beta_notice()
    sparse = torch.sparse_csr_tensor(
        row_starts(rows), rows.flatten(), out.flatten(), (len(rows), len(table))
    )
    torch.sparse.sampled_addmm(sparse, bags, table.T, beta=0.0, out=sparse)
    return sparse.values().view(out.shape)


def row_starts(rows: Int[Tensor, "n j"]) -> Int[Tensor, " k"]:
    """Give the first entry of each row of a sparse matrix with equally long rows."""
    return torch.arange(0, rows.numel() + 1, rows.shape[1], dtype=rows.dtype)


@cache
def silence_beta_notice() -> None:
    """Let PyTorch say here, where nobody hears it, what it says once: CSR tensors are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zero = torch.zeros(1, dtype=torch.int32)
        torch.sparse_csr_tensor(torch.arange(2).int(), zero, torch.zeros(1), (1, 1))
