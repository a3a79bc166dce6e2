"""ReLU6 in place, also with gradients."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.linear import uses_custom_autograd


def relu6(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Apply ReLU6, which overwrites `x` where possible.

    PyTorch saves the input for the backward pass. The output suffices, and the next layer saves it
    anyway.

    Args:
        x: Maps that no other operator needs, and that are no view of others.
    """
    if not torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return x.clamp_(0, 6)
    return _ReLU6.apply(x) if uses_custom_autograd(x) else F.relu6(x)  # type: ignore[return-value]


def clip_gradient(grad: Float[Tensor, "b c h w"], out: Float[Tensor, "b c h w"]) -> None:
    """Zero a gradient in place where ReLU6 was clipped, given the output of ReLU6."""
    torch.ops.aten.hardtanh_backward.grad_input(grad, out, 0.0, 6.0, grad_input=grad)


class _ReLU6(torch.autograd.Function):
    """Autograd function of `relu6`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(x.clamp_(0, 6))
        return x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> Tensor:  # type: ignore[override]
        (out,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grad_out, out, 0.0, 6.0)
