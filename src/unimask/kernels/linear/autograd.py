"""Linear layers with a backward pass on the CPU that multiplies by oneDNN in both directions."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.linear.prepacked import Activation, activate, prepacked_product

MIN_ROWS = 1024
"""Number of rows from which oneDNN is faster than PyTorch's own product, reordering included."""


def uses_custom_autograd(x: Tensor) -> bool:
    """Return whether our own autograd functions apply.

    They need a CPU tensor, enabled gradients, and no compiler, tracer or functorch transform, none
    of which can look inside an autograd function of ours.
    """
    return (
        x.device.type == "cpu"
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        and not torch._C._are_functorch_transforms_active()
    )


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which autocast would multiply this tensor."""
    if torch.is_autocast_enabled("cpu") and x.dtype != torch.float64:
        return torch.get_autocast_dtype("cpu")
    return x.dtype


class ParameterGradients:
    """Gradients of a linear layer's parameters, accumulated over blocks of rows.

    Sums are float32, or float64 for parameters of that dtype.

    Args:
        weight: The layer's weight.
        bias: The layer's bias, or None.
    """

    def __init__(self, weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"] | None) -> None:
        self.dtype = weight.dtype
        sum_dtype = torch.promote_types(weight.dtype, torch.float32)
        # A product whose first factor is the wider one takes a tenth less time.
        self.transposed = weight.shape[1] > weight.shape[0]
        shape = weight.T.shape if self.transposed else weight.shape
        self.weight = torch.zeros(shape, dtype=sum_dtype)
        self.bias = None if bias is None else torch.zeros(bias.shape, dtype=sum_dtype)

    def add(self, grad_out: Float[Tensor, "... d"], rows: Float[Tensor, "... c"]) -> None:
        """Add the contribution of some rows.

        Args:
            grad_out: Gradient of the layer's output for these rows.
            rows: The layer's input.
        """
        grad_out, rows = grad_out.flatten(0, -2), rows.flatten(0, -2)
        wider, narrower = (rows, grad_out) if self.transposed else (grad_out, rows)
        if rows.dtype == self.weight.dtype:
            self.weight.addmm_(wider.T, narrower)
        else:
            self.weight += wider.T @ narrower
        if self.bias is not None:
            self.bias += grad_out.sum(0, dtype=self.bias.dtype)

    def totals(self) -> tuple[Float[Tensor, "d c"], Float[Tensor, " d"] | None]:
        """Return the accumulated gradients in the parameters' dtype."""
        bias = None if self.bias is None else self.bias.to(self.dtype)
        weight = self.weight.T if self.transposed else self.weight
        return weight.to(self.dtype), bias


def linear_autograd(
    x: Float[Tensor, "... c"],
    weight: Float[Tensor, "d c"],
    bias: Float[Tensor, " d"] | None,
    added: Float[Tensor, "... c"] | None = None,
) -> Float[Tensor, "... d"]:
    """Compute `(x + added) @ weight.T + bias` in autocast's dtype, with gradients.

    Neither the sum nor the converted weight is saved for the backward pass.

    Args:
        x: Input rows.
        weight: Weight of the layer.
        bias: Bias of the layer, or None.
        added: Summand shared by the batch: the shape of `x` without its first axis; None adds
            nothing.
    """
    return _Linear.apply(x, weight, bias, added)  # type: ignore[return-value]


class _Linear(torch.autograd.Function):
    """Autograd function of `linear_autograd`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "... c"],
        weight: Float[Tensor, "d c"],
        bias: Float[Tensor, " d"] | None,
        added: Float[Tensor, "... c"] | None,
    ) -> Float[Tensor, "... d"]:
        dtype = ctx.dtype = compute_dtype(x)
        ctx.save_for_backward(x.to(dtype) if added is None else x, weight, bias, added)
        ctx.x_dtype = x.dtype
        with torch.autocast("cpu", enabled=False):
            rows = (x if added is None else x + added).to(dtype)
            return multiply(rows, weight.to(dtype), bias if bias is None else bias.to(dtype))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, bias, added = ctx.saved_tensors
        gradients = ParameterGradients(weight, bias)
        grad_x = grad_added = None
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[3]:
            grad_x = multiply(grad_out, weight.to(grad_out.dtype).T, None).to(ctx.x_dtype)
            grad_added = grad_x.sum(0).to(added.dtype) if ctx.needs_input_grad[3] else None
        if ctx.needs_input_grad[1]:
            gradients.add(grad_out, x if added is None else (x + added).to(ctx.dtype))
        return grad_x, *gradients.totals(), grad_added


def multiply(
    x: Float[Tensor, "... c"],
    weight: Float[Tensor, "d c"],
    bias: Float[Tensor, " d"] | None,
    activation: Activation = "none",
) -> Float[Tensor, "... d"]:
    """Compute `activation(x @ weight.T + bias)`, without autograd support.

    For few rows, reordering the weight would not pay off.
    """
    if x.numel() < MIN_ROWS * x.shape[-1]:
        return activate(F.linear(x, weight, bias), activation)
    return prepacked_product(weight, bias, activation)(x)
