"""Row-wise functions evaluated on blocks of rows that fit the processor's cache."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 4096
"""Number of rows per block: with a thousand channels, their intermediate results take 16 MB."""


def rowwise(
    function: Callable[..., Float[Tensor, "b _ d"]],
) -> Callable[..., Float[Tensor, "b n d"]]:
    """Evaluate a function that treats every row (axis -2 of its arguments) independently.

    On a CPU without gradients, the function is called for one block of rows after another. Its
    intermediate results then stay in the cache, and no large temporaries are allocated and freed,
    which would cost up to a third of the arithmetic.
    """

    def evaluate(*inputs: Float[Tensor, "... n _"]) -> Float[Tensor, "b n d"]:
        b, n = inputs[0].shape[0], inputs[0].shape[-2]
        step = rows_per_block(inputs[0], n, batch=b)
        if step == n:
            return function(*inputs)
        first = function(*(rows[..., :step, :] for rows in inputs))
        out = first.new_empty(b, n, first.shape[-1])
        out[:, :step] = first
        for start in range(step, n, step):
            block = slice(start, start + step)
            out[:, block] = function(*(rows[..., block, :] for rows in inputs))
        return out

    return evaluate


def rows_per_block(x: Tensor, rows: int, *, batch: int) -> int:
    """Return the number of an image's rows per block: all of them unless on a CPU without grad."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type != "cpu":
        return rows
    return min(rows, max(1, BLOCK // batch))
