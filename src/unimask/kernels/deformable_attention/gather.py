"""Deformable attention on a CPU: every sample is four weighted rows of one embedding bag.

Seen as algebra, the samples are one sparse matrix: a row for each query and head, and in it the
weights of the value rows that it reads. The output is that matrix times the values; the gradient
of the values is its transpose times the gradient of the output; the gradient of its entries is
one dot product each. All three run over memory once, without the tensor of samples that
`grid_sample` writes and reads again.
"""

import warnings
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

BORDER = 2
"""Zeros around each map: a point clamped to them has four neighbours, and all of them are zero."""


class Points(NamedTuple):
    """Where the sampling points lie in the table of rows; `n` queries times heads, `p` points."""

    corner: Int[Tensor, "n p"]
    """Row of the upper left neighbour."""
    right: Float[Tensor, "n p"]
    """How far the point lies beyond it, from 0 to 1."""
    down: Float[Tensor, "n p"]
    steps: Int[Tensor, "4 p"]
    """From that row to the upper left, upper right, lower left and lower right neighbour."""
    extent: Float[Tensor, "p 2"]
    """Width and height of the map."""


def deformable_attention_gather(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    locations: Float[Tensor, "b q m l p 2"],
    weights: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Give what `deformable_attention_reference` defines.

    The arithmetic is float32 or wider: on a CPU half precision would be slower here.
    """
    dtype = torch.promote_types(value.dtype, torch.float32)
    out = _Gather.apply(value.to(dtype), locations.to(dtype), weights.to(dtype), shapes)
    return out.to(value.dtype)


class _Gather(torch.autograd.Function):
    """The product and its gradients."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, locations: Tensor, weights: Tensor, shapes: list[tuple[int, int]]
    ) -> Tensor:
        b, _, m, c = value.shape
        table = bordered_rows(value, shapes)
        points = locate(locations, shapes)
        weights = weights.reshape(points.corner.shape)
        bags = F.embedding_bag(
            neighbours(points), table, mode="sum", per_sample_weights=entries(points, weights)
        )
        ctx.save_for_backward(table, weights, *points)
        ctx.shapes, ctx.sizes = shapes, (value.shape, locations.shape)
        return bags.view(b, -1, m * c)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        table, weights, *saved = ctx.saved_tensors
        value_shape, location_shape = ctx.sizes
        points = Points(*saved)
        bags = out.reshape(-1, table.shape[1]).contiguous()
        rows, matrix = neighbours(points), entries(points, weights)
        to_table = transposed_product(rows, matrix, bags, len(table))
        dots = dot_products(rows, bags, table, out=matrix)
        to_right, to_down, to_weights = chain(points, dots)
        to_locations = torch.stack([to_right, to_down], dim=-1) * weights[..., None]
        to_locations *= points.extent
        return (
            without_border(to_table, ctx.shapes, value_shape),
            to_locations.view(location_shape),
            to_weights.view(location_shape[:-1]),
            None,
        )


def bordered_rows(
    value: Float[Tensor, "b n m c"], shapes: list[tuple[int, int]]
) -> Float[Tensor, "r c"]:
    """List the rows (picture, position, head), each map within its border of zeros."""
    border = (0, 0, 0, 0, BORDER, BORDER, BORDER, BORDER)
    levels = value.split([h * w for h, w in shapes], dim=1)
    maps = [
        F.pad(level.unflatten(1, size), border).flatten(1, 2)
        for level, size in zip(levels, shapes, strict=True)
    ]
    return torch.cat(maps, dim=1).flatten(0, 2)


def without_border(
    rows: Float[Tensor, "r c"], shapes: list[tuple[int, int]], value_shape: torch.Size
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


def locate(locations: Float[Tensor, "b q m l p 2"], shapes: list[tuple[int, int]]) -> Points:
    """Find each point's place between four rows of the table."""
    b, q, m, _, p, _ = locations.shape
    extent = locations.new_tensor([(w, h) for h, w in shapes]).repeat_interleave(p, dim=0)
    n = len(extent)
    limit = extent.flatten().repeat(m)
    # One row per query, x and y in turn: every step below runs over whole contiguous rows.
    places = (locations.reshape(b * q, m * n * 2) * limit).sub_(0.5)
    places = places.clamp_(torch.full_like(limit, -BORDER), limit)
    whole = places.floor()
    beyond = places.sub_(whole).view(b * q * m, n, 2)
    columns, lines = whole.int().view(b, q, m, n, 2).unbind(-1)
    widths = torch.tensor([w + 2 * BORDER for _, w in shapes]).repeat_interleave(p)
    origins, positions = first_rows(shapes)
    corner = (lines * widths.mul(m).int()).add_(columns, alpha=m)
    corner += origins.repeat_interleave(p).mul(m).int() + torch.arange(m).int()[:, None]
    steps = torch.stack([0 * widths, 0 * widths + 1, widths, widths + 1]).mul(m).int()
    # A location that is not a number has no place: its weights say so, its rows must exist.
    corner.clamp_(0, positions * m - 1 - int(steps.max()))
    corner += torch.arange(0, b * positions * m, positions * m).int()[:, None, None, None]
    right, down = beyond.unbind(-1)
    return Points(corner.view(b * q * m, n), right, down, steps, extent)


def first_rows(shapes: list[tuple[int, int]]) -> tuple[Int[Tensor, " l"], int]:
    """Give the position of each map's upper left pixel, and the positions in all."""
    origins, start = [], 0
    for h, w in shapes:
        width = w + 2 * BORDER
        origins.append(start + BORDER * width + BORDER)
        start += (h + 2 * BORDER) * width
    return torch.tensor(origins), start


def neighbours(points: Points) -> Int[Tensor, "n j"]:
    """List the rows that each query and head reads: the columns of the sparse matrix."""
    return (points.corner[:, None] + points.steps).flatten(1)


def entries(points: Points, weights: Float[Tensor, "n p"]) -> Float[Tensor, "n j"]:
    """Share each weight among its four neighbours: the entries of the sparse matrix."""
    lower = weights * points.down
    upper = weights - lower
    lower_right, upper_right = lower * points.right, upper * points.right
    shares = [upper - upper_right, upper_right, lower - lower_right, lower_right]
    return torch.stack(shares, dim=1).flatten(1)


def chain(
    points: Points, dots: Float[Tensor, "n j"]
) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n p"], Float[Tensor, "n p"]]:
    """Turn gradients of entries into those of `right`, `down` (both per weight) and the weights."""
    upper_left, upper_right, lower_left, lower_right = dots.unflatten(1, (4, -1)).unbind(1)
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
