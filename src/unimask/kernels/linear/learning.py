"""Linear layers that learn on a CPU: oneDNN multiplies forwards and backwards."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.linear.packed import ready_product

FEW = 1024
"""Rows from which oneDNN is quicker than PyTorch's own product."""


def learns(x: Tensor) -> bool:
    """Say whether our own gradients may take over: neither compilers nor tracers look inside."""
    return (
        x.device.type == "cpu"
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        and not torch._C._are_functorch_transforms_active()
    )


def arithmetic(x: Tensor) -> torch.dtype:
    """Give the type that autocast would multiply in."""
    if torch.is_autocast_enabled("cpu") and x.dtype != torch.float64:
        return torch.get_autocast_dtype("cpu")
    return x.dtype


class Gradients:
    """Gradients of a linear layer's parameters, summed over blocks of rows in float32 at least.

    Args:
        weight: The parameter.
        bias: Likewise; None without one.
    """

    def __init__(self, weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"] | None) -> None:
        self.like = weight
        wide = torch.promote_types(weight.dtype, torch.float32)
        # A product whose first factor is the wider one takes a tenth less time.
        self.turned = weight.shape[1] > weight.shape[0]
        self.weight = torch.zeros(weight.T.shape if self.turned else weight.shape, dtype=wide)
        self.bias = None if bias is None else torch.zeros(bias.shape, dtype=wide)

    def add(self, to_out: Float[Tensor, "... d"], rows: Float[Tensor, "... c"]) -> None:
        """Add what some rows contribute, which the layer turned into what `to_out` belongs to."""
        to_out, rows = to_out.flatten(0, -2), rows.flatten(0, -2)
        wider, other = (rows, to_out) if self.turned else (to_out, rows)
        if rows.dtype == self.weight.dtype:
            self.weight.addmm_(wider.T, other)
        else:
            self.weight += wider.T @ other
        if self.bias is not None:
            self.bias += to_out.sum(0, dtype=self.bias.dtype)

    def found(self) -> tuple[Float[Tensor, "d c"], Float[Tensor, " d"] | None]:
        """Give the sums in the parameters' type."""
        bias = None if self.bias is None else self.bias.to(self.like.dtype)
        weight = self.weight.T if self.turned else self.weight
        return weight.to(self.like.dtype), bias


def learn_linear(
    x: Float[Tensor, "... c"],
    weight: Float[Tensor, "d c"],
    bias: Float[Tensor, " d"] | None,
    added: Float[Tensor, "... c"] | None = None,
) -> Float[Tensor, "... d"]:
    """Give `(x + added) @ weight.T + bias`, in autocast's type.

    Neither the sum nor the weight in that type is kept. What is added lacks the first axis of x.
    """
    return _Linear.apply(x, weight, bias, added)  # type: ignore[return-value]


class _Linear(torch.autograd.Function):
    """See `learn_linear`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "... c"],
        weight: Float[Tensor, "d c"],
        bias: Float[Tensor, " d"] | None,
        added: Float[Tensor, "... c"] | None,
    ) -> Float[Tensor, "... d"]:
        dtype = ctx.dtype = arithmetic(x)
        ctx.save_for_backward(x.to(dtype) if added is None else x, weight, bias, added)
        ctx.like = x.dtype
        with torch.autocast("cpu", enabled=False):
            rows = (x if added is None else x + added).to(dtype)
            return multiply(rows, weight.to(dtype), bias if bias is None else bias.to(dtype))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, to_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, bias, added = ctx.saved_tensors
        learned = Gradients(weight, bias)
        to_x = to_added = None
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[3]:
            to_x = multiply(to_out, weight.to(to_out.dtype).T, None).to(ctx.like)
            to_added = to_x.sum(0).to(added.dtype) if ctx.needs_input_grad[3] else None
        if ctx.needs_input_grad[1]:
            learned.add(to_out, x if added is None else (x + added).to(ctx.dtype))
        return to_x, *learned.found(), to_added


def multiply(
    x: Float[Tensor, "... c"], weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"] | None
) -> Float[Tensor, "... d"]:
    """Give `x @ weight.T + bias`; few rows do not repay that the weight changes its order."""
    few = x.numel() < FEW * x.shape[-1]
    return F.linear(x, weight, bias) if few else ready_product(weight, bias)(x)
