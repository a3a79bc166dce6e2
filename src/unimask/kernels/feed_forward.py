"""Feed-forward parts that learn on a CPU: of what their gradients need, the least is kept."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.layer_norm import Norm, Normalised, norm_gradients, normalise
from unimask.kernels.linear.learning import Gradients, arithmetic
from unimask.kernels.linear.packed import Activation, ready_product

BLOCK = 2**22
"""Bytes of hidden numbers at a time: they and their gradients then stay in the cache."""

NARROW = 192
"""Channels up to which hidden numbers are made again rather than kept: those of a backbone's first
stages take the most memory for the least arithmetic."""


class Parameters(NamedTuple):
    """Of the two layers, in the order of `nn.Linear`."""

    widen: Float[Tensor, "d c"]
    widen_bias: Float[Tensor, " d"]
    narrow: Float[Tensor, "c d"]
    narrow_bias: Float[Tensor, " c"]


class Kind(NamedTuple):
    """What is computed with the parameters; without a norm it has no `eps`."""

    activation: Activation
    eps: float | None
    residual: bool


def feed_forward(
    x: Float[Tensor, "... c"],
    parameters: Parameters,
    activation: Activation,
    norm: Norm | None,
    *,
    residual: bool = False,
) -> Float[Tensor, "... c"]:
    """Give `narrow(activation(widen(norm(x))))`, one product after the other, block by block.

    Autograd would keep the normalised rows, and what goes into GELU beside what comes out. Here
    only x and what is hidden are kept; the rest is made again, which costs no product. Of narrow
    rows x alone is kept.

    Args:
        x: Rows.
        parameters: Of the two layers.
        activation: "gelu" (the exact one) or "relu".
        norm: None for none.
        residual: Add the normalised rows to what they gave.
    """
    kind = Kind(activation, norm and norm.eps, residual)
    return _FeedForward.apply(x, kind, *parameters, *(norm or ())[:2])  # type: ignore[return-value]


class _FeedForward(torch.autograd.Function):
    """See `feed_forward`; the norm's weight and bias come last, or are missing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: Kind, *given: Tensor) -> Tensor:
        dtype, norm = arithmetic(x), norm_of(kind, given)
        own = [part.to(dtype) for part in given[:4]]
        rows = x.reshape(-1, x.shape[-1])
        out, kept = rows.new_empty(rows.shape, dtype=dtype), []
        with torch.autocast("cpu", enabled=False):
            widen, narrow = ready_product(own[0], own[1]), ready_product(own[2], own[3])
            for block in blocks(len(rows), len(own[0]), dtype):
                read = prepared(rows[block], norm).rows.to(dtype)
                hidden = widen(read)
                if any(ctx.needs_input_grad) and rows.shape[1] > NARROW:
                    kept.append(hidden)
                found = narrow(activate(hidden, kind.activation))
                out[block] = found.add_(read) if kind.residual else found
        ctx.save_for_backward(rows, *given, *kept)
        ctx.kind, ctx.given, ctx.shape = kind, len(given), x.shape
        return out.view(x.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, to_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        rows, *others = ctx.saved_tensors
        kind, given, kept = ctx.kind, others[: ctx.given], others[ctx.given :]
        parameters, norm = Parameters(*given[:4]), norm_of(kind, given)
        first, second = Gradients(*parameters[:2]), Gradients(*parameters[2:])
        to_out = to_out.reshape(rows.shape)
        own = [part.to(to_out.dtype) for part in parameters]
        widen = ready_product(own[0], own[1])
        back = [ready_product(weight.T) for weight in own[::2]]
        to_x, to_norm = torch.empty_like(rows), [torch.zeros_like(part) for part in given[4:]]
        for number, block in enumerate(blocks(len(rows), len(own[0]), to_out.dtype)):
            done = prepared(rows[block], norm)
            hidden = kept[number] if kept else widen(done.rows.to(to_out.dtype))
            second.add(to_out[block], activate(hidden, kind.activation))
            to_hidden = activation_gradient(back[1](to_out[block]), hidden, kind.activation)
            first.add(to_hidden, done.rows.to(to_hidden.dtype))
            to_rows = back[0](to_hidden)
            if kind.residual:
                to_rows += to_out[block]
            if norm is not None:
                to_rows, *learned = norm_gradients(to_rows.to(rows.dtype), rows[block], done, norm)
                for total, part in zip(to_norm, learned, strict=True):
                    total += part
            to_x[block] = to_rows
        return to_x.view(ctx.shape), None, *first.found(), *second.found(), *to_norm


def norm_of(kind: Kind, given: Sequence[Tensor]) -> Norm | None:
    """Give the norm whose weight and bias come after the layers' parameters."""
    return None if kind.eps is None else Norm(given[4], given[5], kind.eps)


def blocks(rows: int, hidden: int, dtype: torch.dtype) -> Iterator[slice]:
    """Cut rows into blocks with about `BLOCK` bytes of hidden numbers."""
    step = max(1, BLOCK // (hidden * dtype.itemsize))
    return (slice(start, start + step) for start in range(0, rows, step))


def prepared(rows: Float[Tensor, "n c"], norm: Norm | None) -> Normalised:
    """Give what the first layer reads."""
    return Normalised(rows, rows, rows) if norm is None else normalise(rows, norm)


def activate(hidden: Float[Tensor, "n d"], activation: Activation) -> Float[Tensor, "n d"]:
    """Give what the second layer reads; ReLU happens in place, so that its result is kept."""
    return hidden.relu_() if activation == "relu" else F.gelu(hidden)


def activation_gradient(
    to_out: Float[Tensor, "n d"], hidden: Float[Tensor, "n d"], activation: Activation
) -> Float[Tensor, "n d"]:
    """Give the gradient of what an activation reads; of ReLU its result is known instead."""
    if activation == "relu":
        return torch.ops.aten.threshold_backward(to_out, hidden, 0)
    return torch.ops.aten.gelu_backward(to_out, hidden)
