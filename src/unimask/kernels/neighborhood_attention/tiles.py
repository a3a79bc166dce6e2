"""Neighborhood attention by tiles: queries of a square share the keys of a slightly larger one.

Pixels a multiple of the dilation apart form a grid of their own, in which the neighborhood is
dense. Each grid is split into squares. The windows of a square's queries lie in one rectangle, so a
square is ordinary attention with a bias of minus infinity outside the windows. Nearly all squares
have the same bias and are computed together; squares at borders have a few other biases. No tensor
holds the neighbours of every pixel.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.kernels.neighborhood_attention.reference import kernel_size
from unimask.kernels.plain_attention import BLOCKED_LOGIT, plain_attention

MAX_SIDE = 8
"""Largest number of queries along the side of a square: larger squares compute more masked logits,
smaller ones copy each key more often."""

MAX_VALUES = {"cpu": 1 << 21, "other": 1 << 26}
"""Approximate number of values per step: a CPU is fastest while they fit into its cache, other
devices while there are many."""


NOT_IN_CUDA_GRAPHS = (torch.Tag.cudagraph_unsafe,)
"""Squares are computed on the host, so CUDA graphs must leave these operators out."""


class Segments(NamedTuple):
    """Segments of an axis with equal biases: `n` segments of `t` queries and `s` keys.

    Attributes:
        queries: Positions of the queries; a short segment repeats its last one.
        valid: False for repeated queries.
        keys: Positions of the keys.
        offsets: Row (or column) of the bias for each pair; one past the last outside the window.
    """

    queries: Int[Tensor, "n t"]
    valid: Bool[Tensor, "n t"]
    keys: Int[Tensor, "n s"]
    offsets: Int[Tensor, "t s"]


class Squares(NamedTuple):
    """Squares with equal biases: `n` squares of `t` queries and `s` keys.

    Attributes:
        queries: Rows of the queries in a table of all pixels of all images.
        results: Rows of the results: as `queries`, but one past the last row for repeated queries.
        keys: Rows of the keys.
        offsets: Entry of the flattened bias for each pair.
    """

    queries: Int[Tensor, "n t"]
    results: Int[Tensor, "n t"]
    keys: Int[Tensor, "n s"]
    offsets: Int[Tensor, "t s"]


def neighborhood_attention_tiles(
    query: Float[Tensor, "b h w m c"],
    key: Float[Tensor, "b h w m c"],
    value: Float[Tensor, "b h w m c"],
    bias: Float[Tensor, "m r r"],
    *,
    dilation: int,
) -> Float[Tensor, "b h w m c"]:
    """Compute `neighborhood_attention_reference`.

    Raises:
        ValueError: The map is smaller than k times `dilation`, or k is even.
    """
    kernel_size(query.shape[1], query.shape[2], bias, dilation)
    # One custom operator keeps squares out of compiled graphs; exporters see plain operators.
    exporting = torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()
    tracing = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    if exporting or tracing:
        return attend_by_constant_rows(query, key, value, bias.to(query.dtype), dilation)
    return operator(query, key, value, bias.to(query.dtype), dilation)


def attend_by_squares(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dilation: int
) -> Tensor:
    """Compute the attention square by square."""
    tables = [table(part) for part in (query, key, value)]
    entries = flat_bias(bias)
    out = tables[0].new_empty((len(tables[0]) + 1, *query.shape[3:]))
    for squares in all_squares(query.shape, bias, dilation):
        square_bias = entries[:, squares.offsets]
        for step in steps(squares, query.shape):
            result = attend(*gather(tables, step), square_bias)
            out.index_copy_(0, step.results.flatten(), result.flatten(0, 1).to(out.dtype))
    return out[:-1].view(query.shape)


def attend_by_constant_rows(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dilation: int
) -> Tensor:
    """Compute the attention of exported graphs, whose batch size may be symbolic.

    All squares with equal biases are one attention. Rows are constants of one image, and results
    are gathered by the inverse of their order instead of being scattered.
    """
    b, h, w, m, c = query.shape
    tables = [part.flatten(1, 2) for part in (query, key, value)]
    entries = flat_bias(bias).clamp(min=BLOCKED_LOGIT)
    results, order = [], []
    for squares in all_squares(torch.Size((1, h, w, m, c)), bias, dilation):
        rows = squares.queries, squares.keys, squares.keys
        heads = [
            table.index_select(1, part.flatten()).view(b, *part.shape, m, c).transpose(2, 3)
            for table, part in zip(tables, rows, strict=True)
        ]
        mixed = plain_attention(*heads, bias=entries[:, squares.offsets])
        results.append(mixed.transpose(2, 3).flatten(1, 2))
        order.append(squares.results.flatten())
    position = torch.cat(order).argsort()[: h * w]  # repeated queries are last
    return torch.cat(results, dim=1).index_select(1, position).view(b, h, w, m, c)


operator = torch.library.custom_op(
    "unimask::neighborhood_attention",
    attend_by_squares,
    mutates_args=(),
    tags=NOT_IN_CUDA_GRAPHS,
)


@operator.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dilation: int) -> Tensor:
    return query.new_empty(query.shape)


@torch.library.custom_op(
    "unimask::neighborhood_attention_backward", mutates_args=(), tags=NOT_IN_CUDA_GRAPHS
)
def operator_backward(
    grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dilation: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients of all tensors; attention weights are recomputed square by square."""
    tables = [table(part) for part in (query, key, value)]
    entries = flat_bias(bias)
    grad_results = F.pad(table(grad_out), (0, 0, 0, 0, 0, 1))
    grad_query = torch.empty_like(grad_results)
    dtype = torch.promote_types(query.dtype, torch.float32)  # dtype of sums over squares
    grad_key, grad_value, grad_entries = (
        torch.zeros_like(part, dtype=dtype) for part in (*tables[1:], entries)
    )
    for squares in all_squares(query.shape, bias, dilation):
        square_bias = entries[:, squares.offsets]
        for step in steps(squares, query.shape):
            rows = step.results.flatten()
            inputs = (*gather(tables, step), square_bias)
            grads = attend_backward(inputs, grad_results[rows].view(inputs[0].shape))
            grad_query.index_copy_(0, rows, grads[0].flatten(0, 1))
            for total, grad in ((grad_key, grads[1]), (grad_value, grads[2])):
                total.index_add_(0, step.keys.flatten(), grad.flatten(0, 1).to(dtype))
            grad_entries.index_add_(1, squares.offsets.flatten(), grads[3].flatten(1).to(dtype))
    grad_bias = grad_entries.view(-1, bias.shape[1] + 1, bias.shape[2] + 1)[:, :-1, :-1]
    return (
        grad_query[:-1].view(query.shape),
        grad_key.view(key.shape).to(key.dtype),
        grad_value.view(value.shape).to(value.dtype),
        grad_bias.to(bias.dtype).contiguous(),
    )


@operator_backward.register_fake
def _(
    grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dilation: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grad_query, grad_key, grad_value, grad_bias = (
        part.new_empty(part.shape) for part in (query, key, value, bias)
    )
    return grad_query, grad_key, grad_value, grad_bias


def save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Save the arguments for the backward pass."""
    *tensors, ctx.dilation = inputs
    ctx.save_for_backward(*tensors)


def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    """Compute the gradients of all arguments of the operator."""
    return *operator_backward(grad_out, *ctx.saved_tensors, ctx.dilation), None


operator.register_autograd(backward, setup_context=save_inputs)


def attend(
    query: Float[Tensor, "n t m c"],
    key: Float[Tensor, "n s m c"],
    value: Float[Tensor, "n s m c"],
    bias: Float[Tensor, "m t s"],
) -> Float[Tensor, "n t m c"]:
    """Attend from the queries of each square to its keys."""
    heads = (part.transpose(1, 2) for part in (query, key, value))
    return F.scaled_dot_product_attention(*heads, attn_mask=bias[None]).transpose(1, 2)


def attend_backward(inputs: tuple[Tensor, ...], grad_out: Tensor) -> tuple[Tensor, ...]:
    """Compute the gradients of the arguments of `attend`; autograd is off inside an operator."""
    query, key, value, grad_out = (part.transpose(1, 2) for part in (*inputs[:3], grad_out))
    scale = query.shape[-1] ** -0.5
    logits = query @ key.mT * scale + inputs[3]
    weights = logits.softmax(-1, dtype=torch.promote_types(query.dtype, torch.float32))
    grad_weights = grad_out @ value.mT
    products = weights * grad_weights
    grad_logits = products - weights * products.sum(-1, keepdim=True)
    grad_scores = grad_logits.to(query.dtype) * scale
    grad_value = weights.to(query.dtype).mT @ grad_out
    grad_heads = (grad_scores @ key, grad_scores.mT @ query, grad_value)
    return *(part.transpose(1, 2) for part in grad_heads), grad_logits.sum(0)


def table(part: Float[Tensor, "b h w m c"]) -> Float[Tensor, "n m c"]:
    """Return a contiguous table with one row per pixel of all images."""
    return part.flatten(0, 2).contiguous()


def flat_bias(bias: Float[Tensor, "m r r"]) -> Float[Tensor, "m e"]:
    """Flatten the bias, with a row and a column of minus infinity for pairs outside the window."""
    return F.pad(bias, (0, 1, 0, 1), value=float("-inf")).flatten(1)


def gather(tables: list[Tensor], step: Squares) -> tuple[Tensor, Tensor, Tensor]:
    """Return the queries, keys and values of squares."""
    query, key, value = tables
    rows = step.queries, step.keys, step.keys
    return select(query, rows[0]), select(key, rows[1]), select(value, rows[2])


def select(table: Float[Tensor, "r m c"], rows: Int[Tensor, "n t"]) -> Float[Tensor, "n t m c"]:
    """Return rows of a table."""
    return table.index_select(0, rows.flatten()).view(*rows.shape, *table.shape[1:])


def steps(squares: Squares, shape: torch.Size) -> Iterator[Squares]:
    """Split squares into steps of about `MAX_VALUES` values."""
    m, c = shape[3:]
    t, s = squares.offsets.shape
    device = squares.queries.device.type
    count = max(1, MAX_VALUES.get(device, MAX_VALUES["other"]) // (m * (t * s + (t + 2 * s) * c)))
    parts = (part.split(count) for part in squares[:3])
    for queries, results, keys in zip(*parts, strict=True):
        yield Squares(queries, results, keys, squares.offsets)


def all_squares(
    shape: torch.Size, bias: Float[Tensor, "m r r"], dilation: int
) -> Iterator[Squares]:
    """Split maps into squares; each item holds the squares with equal biases."""
    b, h, w = shape[:3]
    r = bias.shape[-1]
    image = torch.arange(0, b * h * w, h * w, device=bias.device)
    down, along = (segments(n, (r + 1) // 2, dilation, bias.device) for n in (h, w))
    for rows, columns in product(down, along):
        queries = cross(rows.queries * w, columns.queries) + image[:, None, None]
        valid = cross(rows.valid * 2, columns.valid * 1) == 3
        keys = cross(rows.keys * w, columns.keys) + image[:, None, None]
        yield Squares(
            queries.flatten(0, 1),
            torch.where(valid, queries, b * h * w).flatten(0, 1),
            keys.flatten(0, 1),
            cross(rows.offsets * (r + 1), columns.offsets),
        )


def cross(rows: Int[Tensor, "i t"], columns: Int[Tensor, "j s"]) -> Int[Tensor, "ij ts"]:
    """Add row and column numbers for all pairs, for every pair of segments."""
    return (rows[:, None, :, None] + columns[None, :, None, :]).flatten(2).flatten(0, 1)


def segments(length: int, k: int, dilation: int, device: torch.device) -> list[Segments]:
    """Split an axis into segments; each item holds the segments with equal biases."""
    kinds = segment_arrays(length, k, dilation)
    return [Segments(*(torch.from_numpy(part).to(device) for part in kind)) for kind in kinds]


@lru_cache(maxsize=256)
def segment_arrays(length: int, k: int, dilation: int) -> list[tuple[np.ndarray, ...]]:
    """Return the fields of `Segments` as NumPy arrays, which are constants to tracers.

    Positions with equal remainder by `dilation` are consecutive steps; remainders differ by at most
    one in their number of steps.
    """
    remainder = np.arange(dilation)[:, None, None]
    number = (length - remainder + dilation - 1) // dilation
    longest = int(number.max())
    side = -(-longest // -(-longest // MAX_SIDE))  # as few segments as possible, equally long
    reach = min(side + k - 1, longest)
    position = np.arange(0, longest, side)[:, None] + np.arange(side)
    query = np.minimum(position, number - 1)
    window = np.minimum(np.maximum(query - k // 2, 0), number - k)
    first = np.maximum(np.minimum(window[..., :1], number - reach), 0)
    key = first + np.arange(reach)
    inside = (key[:, :, None] >= window[..., None]) & (key[:, :, None] < window[..., None] + k)
    offsets = np.where(inside, key[:, :, None] - query[..., None] + k - 1, 2 * k - 1)
    kinds, kind = np.unique(offsets.reshape(-1, side, reach), axis=0, return_inverse=True)
    queries = (remainder + dilation * query).reshape(-1, side)
    keys = (remainder + dilation * np.minimum(key, number - 1)).reshape(-1, reach)
    valid = (position < number).reshape(-1, side)
    return [
        (queries[same], valid[same], keys[same], kinds[index])
        for index, same in enumerate(kind.ravel() == np.arange(len(kinds))[:, None])
    ]
