"""Depthwise convolutions of channels-last maps on a CPU, forward and backward."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.linear import compute_dtype, uses_custom_autograd

MAX_COLUMNS = 3
"""Number of kernel columns up to which oneDNN has a depthwise kernel for the weight's gradient.

For more, it computes that of a grouped convolution with 16 channels per group, which takes more
than twice the time of two halves of the kernel (`benchmarks/efficientnet_lite.py`).
"""


def depthwise_convolution(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "c 1 k k"],
    bias: Float[Tensor, " c"] | None,
    stride: int,
    padding: tuple[int, int],
) -> Float[Tensor, "b c i j"]:
    """Apply a depthwise convolution; on a CPU, with the gradients of this module.

    Args:
        x: Maps.
        weight: Weight of the convolution.
        bias: Bias of the convolution; one that needs a gradient takes PyTorch's operators.
        stride: Stride of the convolution.
        padding: Number of zeros on each side, for each axis.
    """
    learned_bias = bias is not None and bias.requires_grad
    dtype = compute_dtype(x)
    if learned_bias or dtype == torch.float64 or not uses_custom_autograd(x):
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))
    bias = None if bias is None else bias.to(dtype)
    maps = x.to(dtype).contiguous(memory_format=torch.channels_last)
    return _Depthwise.apply(maps, weight.to(dtype), bias, stride, padding)  # type: ignore[return-value]


class _Depthwise(torch.autograd.Function):
    """Autograd function of `depthwise_convolution`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        layer = grad_out, x, weight, ctx.stride, ctx.padding
        grad_x = input_gradient(*layer) if ctx.needs_input_grad[0] else None
        grad_weight = weight_gradient(*layer) if ctx.needs_input_grad[1] else None
        return grad_x, grad_weight, None, None, None


def depthwise_relu6(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "c 1 k k"],
    bias: Float[Tensor, " c"],
    stride: int,
    padding: tuple[int, int],
) -> Float[Tensor, "b c i j"]:
    """Apply a depthwise convolution, then ReLU6, without autograd support.

    Args:
        x: Maps.
        weight: Weight of the convolution.
        bias: Bias of the convolution.
        stride: Stride of the convolution.
        padding: Number of zeros on each side, for each axis.
    """
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, padding, (stride, stride), (1, 1), len(weight), "hardtanh", [0.0, 6.0], ""
    )


def input_gradient(
    grad_out: Float[Tensor, "b c i j"],
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "c 1 k k"],
    stride: int,
    padding: tuple[int, int],
) -> Float[Tensor, "b c h w"]:
    """Compute the gradient of a depthwise convolution with regard to its input.

    oneDNN has no depthwise kernel for a stride in bfloat16: float32 takes a fifth of the time,
    conversion included (`benchmarks/efficientnet_lite.py`).
    """
    only_input = (True, False, False)
    if stride == 1 or grad_out.dtype != torch.bfloat16:
        return convolution_backward(grad_out, x, weight, stride, padding, only_input)[0]
    size = torch.empty_like(x, dtype=torch.float32)  # only its shape is read
    grad = convolution_backward(
        grad_out.float(), size, weight.float(), stride, padding, only_input
    )[0]
    return grad.to(x.dtype)


def weight_gradient(
    grad_out: Float[Tensor, "b c i j"],
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "c 1 k k"],
    stride: int,
    padding: tuple[int, int],
) -> Float[Tensor, "c 1 k k"]:
    """Compute the gradient of a depthwise convolution with regard to its weight.

    Kernels wider than `MAX_COLUMNS` are split into groups of columns: each is the kernel of a
    convolution of shifted maps.
    """
    only_weight = (False, True, False)
    if weight.shape[3] <= MAX_COLUMNS:
        return convolution_backward(grad_out, x, weight, stride, padding, only_weight)[1]
    parts = []
    for first in range(0, weight.shape[3], MAX_COLUMNS):
        columns = weight[..., first : first + MAX_COLUMNS]
        left = padding[1] - first
        right = stride * (grad_out.shape[3] - 1) + columns.shape[3] - left - x.shape[3]
        shifted = F.pad(x, (left, right))
        rows = (padding[0], 0)
        parts.append(convolution_backward(grad_out, shifted, columns, stride, rows, only_weight)[1])
    return torch.cat(parts, 3)


def convolution_backward(
    grad_out: Float[Tensor, "b c i j"],
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "c 1 k l"],
    stride: int,
    padding: tuple[int, int],
    mask: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of a depthwise convolution that `mask` selects."""
    return torch.ops.aten.convolution_backward(
        grad_out,
        x,
        weight,
        None,
        (stride, stride),
        padding,
        (1, 1),
        False,
        (0, 0),
        len(weight),
        mask,
    )
