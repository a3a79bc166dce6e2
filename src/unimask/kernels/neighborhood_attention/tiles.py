"""Neighbourhood attention by tiles: queries of a square share the keys of a slightly larger one.

Pixels a multiple of the dilation apart form a grid of their own, in which the neighbourhood is
dense. Each grid is cut into squares. What the queries of a square may see lies in one rectangle,
so that a square is ordinary attention with a bias that is minus infinity outside the windows.
Nearly all squares have the same bias, and are computed together; those at borders are a few kinds
more. No tensor holds the neighbours of every pixel.
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

SIDE = 8
"""Most queries along the side of a square: larger ones see more keys in vain, smaller ones copy
each key more often."""

WORK = {"cpu": 1 << 21, "other": 1 << 26}
"""About as many numbers as one step may hold: a CPU is fastest while they fit into its cache, and
other devices while there are many."""


UNRECORDED = (torch.Tag.cudagraph_unsafe,)
"""Squares are cut on the host: what is recorded as a CUDA graph leaves these operators out."""


class Stretches(NamedTuple):
    """Stretches of an axis that have the same bias: `n` of them, `t` queries and `s` keys long."""

    queries: Int[Tensor, "n t"]
    """Positions; a short stretch repeats its last one."""
    owned: Bool[Tensor, "n t"]
    """Which of them are no repetition."""
    keys: Int[Tensor, "n s"]
    offsets: Int[Tensor, "t s"]
    """Row (or column) of the bias for each pair, one past the last outside the window."""


class Squares(NamedTuple):
    """Squares with the same bias: `n` of them, `t` queries and `s` keys each."""

    queries: Int[Tensor, "n t"]
    """Rows in a table of all pixels of all pictures."""
    results: Int[Tensor, "n t"]
    """Where the results belong: as `queries`, but repetitions go to a row past the last."""
    keys: Int[Tensor, "n s"]
    offsets: Int[Tensor, "t s"]
    """Entry of the flattened bias for each pair."""


def neighborhood_attention_tiles(
    query: Float[Tensor, "b h w m c"],
    key: Float[Tensor, "b h w m c"],
    value: Float[Tensor, "b h w m c"],
    bias: Float[Tensor, "m r r"],
    *,
    dilation: int,
) -> Float[Tensor, "b h w m c"]:
    """Give what `neighborhood_attention_reference` defines.

    Raises:
        ValueError: The map is smaller than k times `dilation`, or k is even.
    """
    kernel_size(query.shape[1], query.shape[2], bias, dilation)
    # One operator keeps squares out of compiled graphs; exporters are given plain operators.
    exporting = torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()
    tracing = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    function = mix if exporting or tracing else operator
    return function(query, key, value, bias.to(query.dtype), dilation)


def mix(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dilation: int) -> Tensor:
    """Attend square by square."""
    tables = [table(part) for part in (query, key, value)]
    entries = bordered(bias)
    out = tables[0].new_empty((len(tables[0]) + 1, *query.shape[3:]))
    for squares in all_squares(query.shape, bias, dilation):
        square_bias = entries[:, squares.offsets]
        for step in steps(squares, query.shape):
            result = attend(*gather(tables, step), square_bias)
            out.index_copy_(0, step.results.flatten(), result.flatten(0, 1).to(out.dtype))
    return out[:-1].view(query.shape)


operator = torch.library.custom_op(
    "unimask::neighborhood_attention", mix, mutates_args=(), tags=UNRECORDED
)


@operator.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dilation: int) -> Tensor:
    return query.new_empty(query.shape)


@torch.library.custom_op(
    "unimask::neighborhood_attention_backward", mutates_args=(), tags=UNRECORDED
)
def backward(
    to_out: Tensor, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dilation: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute each square again instead of keeping it; give the gradients of all tensors."""
    tables = [table(part) for part in (query, key, value)]
    entries = bordered(bias)
    to_results = F.pad(table(to_out), (0, 0, 0, 0, 0, 1))
    to_query = torch.empty_like(to_results)
    wide = torch.promote_types(query.dtype, torch.float32)  # what is added up from squares
    to_key, to_value, to_entries = (
        torch.zeros_like(part, dtype=wide) for part in (*tables[1:], entries)
    )
    for squares in all_squares(query.shape, bias, dilation):
        square_bias = entries[:, squares.offsets]
        for step in steps(squares, query.shape):
            rows = step.results.flatten()
            inputs = (*gather(tables, step), square_bias)
            slopes = gradients(inputs, to_results[rows].view(inputs[0].shape))
            to_query.index_copy_(0, rows, slopes[0].flatten(0, 1))
            for total, slope in ((to_key, slopes[1]), (to_value, slopes[2])):
                total.index_add_(0, step.keys.flatten(), slope.flatten(0, 1).to(wide))
            to_entries.index_add_(1, squares.offsets.flatten(), slopes[3].flatten(1).to(wide))
    to_bias = to_entries.view(-1, bias.shape[1] + 1, bias.shape[2] + 1)[:, :-1, :-1]
    return (
        to_query[:-1].view(query.shape),
        to_key.view(key.shape).to(key.dtype),
        to_value.view(value.shape).to(value.dtype),
        to_bias.to(bias.dtype).contiguous(),
    )


@backward.register_fake
def _(
    to_out: Tensor, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dilation: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    to_query, to_key, to_value, to_bias = (
        part.new_empty(part.shape) for part in (query, key, value, bias)
    )
    return to_query, to_key, to_value, to_bias


def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep the arguments for `learn`."""
    *tensors, ctx.dilation = inputs
    ctx.save_for_backward(*tensors)


def learn(ctx: Any, to_out: Tensor) -> tuple[Tensor | None, ...]:
    """Give the gradients of all arguments."""
    return *backward(to_out, *ctx.saved_tensors, ctx.dilation), None


operator.register_autograd(learn, setup_context=keep)


def attend(
    query: Float[Tensor, "n t m c"],
    key: Float[Tensor, "n s m c"],
    value: Float[Tensor, "n s m c"],
    bias: Float[Tensor, "m t s"],
) -> Float[Tensor, "n t m c"]:
    """Let the queries of each square attend to its keys."""
    heads = (part.transpose(1, 2) for part in (query, key, value))
    return F.scaled_dot_product_attention(*heads, attn_mask=bias[None]).transpose(1, 2)


def gradients(inputs: tuple[Tensor, ...], to_result: Tensor) -> tuple[Tensor, ...]:
    """Give the gradients of the arguments of `attend`; inside an operator nothing else does."""
    query, key, value, to_result = (part.transpose(1, 2) for part in (*inputs[:3], to_result))
    scale = query.shape[-1] ** -0.5
    logits = query @ key.mT * scale + inputs[3]
    weights = logits.softmax(-1, dtype=torch.promote_types(query.dtype, torch.float32))
    to_weights = to_result @ value.mT
    shares = weights * to_weights
    to_logits = shares - weights * shares.sum(-1, keepdim=True)
    slopes = to_logits.to(query.dtype) * scale
    to_value = weights.to(query.dtype).mT @ to_result
    to_heads = (slopes @ key, slopes.mT @ query, to_value)
    return *(part.transpose(1, 2) for part in to_heads), to_logits.sum(0)


def table(part: Float[Tensor, "b h w m c"]) -> Float[Tensor, "n m c"]:
    """List the pixels of all pictures, one after the other in memory: rows are picked from it."""
    return part.flatten(0, 2).contiguous()


def bordered(bias: Float[Tensor, "m r r"]) -> Float[Tensor, "m e"]:
    """Flatten the bias, with a row and a column more for what lies outside the window."""
    return F.pad(bias, (0, 1, 0, 1), value=float("-inf")).flatten(1)


def gather(tables: list[Tensor], step: Squares) -> tuple[Tensor, Tensor, Tensor]:
    """Give the queries, keys and values of squares."""
    query, key, value = tables
    return pick(query, step.queries), pick(key, step.keys), pick(value, step.keys)


def pick(table: Float[Tensor, "r m c"], rows: Int[Tensor, "n t"]) -> Float[Tensor, "n t m c"]:
    """Give rows of a table."""
    return table.index_select(0, rows.flatten()).view(*rows.shape, *table.shape[1:])


def steps(squares: Squares, shape: torch.Size) -> Iterator[Squares]:
    """Divide squares into portions that are worked on at once."""
    m, c = shape[3:]
    t, s = squares.offsets.shape
    device = squares.queries.device.type
    count = max(1, WORK.get(device, WORK["other"]) // (m * (t * s + (t + 2 * s) * c)))
    parts = (part.split(count) for part in squares[:3])
    for queries, results, keys in zip(*parts, strict=True):
        yield Squares(queries, results, keys, squares.offsets)


def all_squares(
    shape: torch.Size, bias: Float[Tensor, "m r r"], dilation: int
) -> Iterator[Squares]:
    """Cut maps into squares, kind by kind."""
    b, h, w = shape[:3]
    r = bias.shape[-1]
    picture = torch.arange(0, b * h * w, h * w, device=bias.device)
    down, along = (stretches(n, (r + 1) // 2, dilation, bias.device) for n in (h, w))
    for rows, columns in product(down, along):
        queries = cross(rows.queries * w, columns.queries) + picture[:, None, None]
        owned = cross(rows.owned * 2, columns.owned * 1) == 3
        keys = cross(rows.keys * w, columns.keys) + picture[:, None, None]
        yield Squares(
            queries.flatten(0, 1),
            torch.where(owned, queries, b * h * w).flatten(0, 1),
            keys.flatten(0, 1),
            cross(rows.offsets * (r + 1), columns.offsets),
        )


def cross(rows: Int[Tensor, "i t"], columns: Int[Tensor, "j s"]) -> Int[Tensor, "ij ts"]:
    """Add each pair of a row's and a column's number, for every pair of stretches."""
    return (rows[:, None, :, None] + columns[None, :, None, :]).flatten(2).flatten(0, 1)


def stretches(length: int, k: int, dilation: int, device: torch.device) -> list[Stretches]:
    """Cut an axis into stretches, kind by kind."""
    kinds = cut(length, k, dilation)
    return [Stretches(*(torch.from_numpy(part).to(device) for part in kind)) for kind in kinds]


@lru_cache(maxsize=256)
def cut(length: int, k: int, dilation: int) -> list[tuple[np.ndarray, ...]]:
    """Give the fields of `Stretches` as arrays: for those who trace networks they are constants.

    Positions with the same remainder by `dilation` follow each other as steps; remainders differ
    by at most one in their number of steps.
    """
    remainder = np.arange(dilation)[:, None, None]
    number = (length - remainder + dilation - 1) // dilation
    longest = int(number.max())
    side = -(-longest // -(-longest // SIDE))  # as many stretches as needed, equally long
    reach = min(side + k - 1, longest)
    wanted = np.arange(0, longest, side)[:, None] + np.arange(side)
    query = np.minimum(wanted, number - 1)
    window = np.minimum(np.maximum(query - k // 2, 0), number - k)
    first = np.maximum(np.minimum(window[..., :1], number - reach), 0)
    key = first + np.arange(reach)
    seen = (key[:, :, None] >= window[..., None]) & (key[:, :, None] < window[..., None] + k)
    offsets = np.where(seen, key[:, :, None] - query[..., None] + k - 1, 2 * k - 1)
    kinds, kind = np.unique(offsets.reshape(-1, side, reach), axis=0, return_inverse=True)
    queries = (remainder + dilation * query).reshape(-1, side)
    keys = (remainder + dilation * np.minimum(key, number - 1)).reshape(-1, reach)
    owned = (wanted < number).reshape(-1, side)
    return [
        (queries[same], owned[same], keys[same], kinds[index])
        for index, same in enumerate(kind.ravel() == np.arange(len(kinds))[:, None])
    ]
