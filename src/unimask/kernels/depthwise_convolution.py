"""Depthwise convolutions of channels-last maps on a CPU, forward and backward."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

MAX_COLUMNS = 3
"""Number of kernel columns up to which oneDNN has a depthwise kernel for the weight's gradient.

For more, it computes that of a grouped convolution with 16 channels per group: 4 times the time of
two halves of the kernel.
"""


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
    """Compute the gradient of a depthwise convolution with regard to its input."""
    return convolution_backward(grad_out, x, weight, stride, padding, (True, False, False))[0]


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
