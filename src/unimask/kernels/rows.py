"""Work on rows that do not look at one another, a cacheful at a time."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 4096
"""Rows at a time: a thousand channels of them are 16 MB, which memory need never see."""


def by_rows(
    function: Callable[..., Float[Tensor, "b _ d"]], *inputs: Float[Tensor, "... n _"]
) -> Float[Tensor, "b n d"]:
    """Give `function(*inputs)`, for a function that treats every row (n) by itself.

    On a CPU, without gradients, it is called for a block of rows after the other: what it makes
    in between then stays in the cache, and large pieces of memory need not be asked for and
    returned, which costs as much as a third of the arithmetic.
    """
    b, n = inputs[0].shape[0], inputs[0].shape[-2]
    step = rows_at_a_time(inputs[0], n, pictures=b)
    if step == n:
        return function(*inputs)
    first = function(*(rows[..., :step, :] for rows in inputs))
    out = first.new_empty(b, n, first.shape[-1])
    out[:, :step] = first
    for start in range(step, n, step):
        block = slice(start, start + step)
        out[:, block] = function(*(rows[..., block, :] for rows in inputs))
    return out


def rows_at_a_time(like: Tensor, rows: int, *, pictures: int) -> int:
    """Say how many of a picture's rows to treat at a time: all, but on a CPU without gradients."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or like.device.type != "cpu":
        return rows
    return min(rows, max(1, BLOCK // pictures))
