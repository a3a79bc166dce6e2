"""Inverted bottlenecks with ReLU6 on a CPU: 1x1 expansion, depthwise convolution, 1x1 projection.

Maps are channels-last in memory, so that 1x1 convolutions are products of pixels with a matrix, to
which oneDNN adds the bias and the activation before they leave the cache. Only the activations are
saved for the backward pass, because they show where ReLU6 was clipped.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.depthwise_convolution import depthwise_relu6, input_gradient, weight_gradient
from unimask.kernels.linear import can_prepack, compute_dtype, uses_custom_autograd
from unimask.kernels.linear.autograd import multiply
from unimask.kernels.linear.prepacked import prepacked_product
from unimask.kernels.relu6 import clip_gradient

FUSED = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class Bottleneck(NamedTuple):
    """Weights and biases of an inverted bottleneck, into which normalizations are folded.

    Attributes:
        expand: Weight of the 1x1 expansion; None without one.
        expand_bias: Its bias.
        depthwise: Weight of the depthwise convolution.
        depthwise_bias: Its bias.
        project: Weight of the 1x1 projection.
        project_bias: Its bias.
    """

    expand: Float[Tensor, "d c 1 1"] | None
    expand_bias: Float[Tensor, " d"] | None
    depthwise: Float[Tensor, "d 1 k k"]
    depthwise_bias: Float[Tensor, " d"]
    project: Float[Tensor, "e d 1 1"]
    project_bias: Float[Tensor, " e"]


def has_fast_bottleneck(x: Float[Tensor, "b c h w"]) -> bool:
    """Return whether `inverted_bottleneck` applies: on a CPU with oneDNN, in float32 or bfloat16.

    Compilers cannot trace it.
    """
    dtype = compute_dtype(x)
    if not (uses_custom_autograd(x) or (x.dtype == dtype and can_prepack(x))):
        return False
    return FUSED and (
        dtype == torch.float32
        or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def bottleneck_function(
    layers: Bottleneck, stride: int
) -> Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b e i j"]]:
    """Return the bottleneck as a function of maps, for inference; its weights are prepacked.

    Args:
        layers: Weights and biases.
        stride: Stride of the depthwise convolution.
    """
    expand = None
    if layers.expand is not None:
        expand = prepacked_product(layers.expand.flatten(1), layers.expand_bias, "relu6")
    project = prepacked_product(layers.project.flatten(1), layers.project_bias)
    weight, bias = layers.depthwise.contiguous(), layers.depthwise_bias

    def bottleneck(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        x, padding = pad_asymmetrically(x, weight.shape[2], stride)
        inner = x if expand is None else expanded(x, expand, padding)
        convolved = depthwise_relu6(inner, weight, bias, stride, padding.symmetric)
        return on_pixels(project, convolved)

    return bottleneck


def inverted_bottleneck(
    x: Float[Tensor, "b c h w"], layers: Bottleneck, stride: int
) -> Float[Tensor, "b e i j"]:
    """Compute an inverted bottleneck with gradients, without its shortcut.

    Args:
        x: Maps.
        layers: Weights and biases; they may require gradients.
        stride: Stride of the depthwise convolution, which has TensorFlow's "same" padding.
    """
    dtype = compute_dtype(x)
    parts = (part if part is None else part.to(dtype) for part in layers)
    return _InvertedBottleneck.apply(stride, x.to(dtype), *parts)  # type: ignore[return-value]


class Padding(NamedTuple):
    """TensorFlow's "same" padding of a convolution.

    Attributes:
        symmetric: Number of zeros on each side, for each axis.
        extra: Number of further zeros at the end, 0 or 1, for each axis.
    """

    symmetric: tuple[int, int]
    extra: tuple[int, int]


def same_padding(size: int, side: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's "same" padding before and after an axis."""
    # A condition and a plain number: compilers for any size would drag formulas through all layers.
    last_step = stride if size % stride == 0 else int(size % stride)
    total = max(0, side - last_step)
    return total // 2, total - total // 2


def pad_asymmetrically(
    x: Float[Tensor, "b c h w"], side: int, stride: int
) -> tuple[Float[Tensor, "b c i j"], Padding]:
    """Append the zeros by which the padding at the end exceeds that at the start.

    The expansion has six times the channels: padding its input copies a sixth.
    """
    pairs = [same_padding(size, side, stride) for size in x.shape[2:]]
    (top, bottom), (left, right) = pairs
    padding = Padding((top, left), (bottom - top, right - left))
    if any(padding.extra):
        x = F.pad(x, (0, padding.extra[1], 0, padding.extra[0]))
    return x.contiguous(memory_format=torch.channels_last), padding


def on_pixels(
    function: Callable[[Float[Tensor, "n c"]], Float[Tensor, "n d"]], x: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b d h w"]:
    """Apply a function to the channels of every pixel."""
    return to_maps(function(pixels(x)), x)


def to_maps(rows: Float[Tensor, "n d"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
    """Return rows of pixels as channels-last maps of the size of `x`."""
    b, _, h, w = x.shape
    return rows.view(b, h, w, -1).permute(0, 3, 1, 2)


def pixels(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "n c"]:
    """Return the channels of every pixel as rows, without a copy for channels-last maps."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def expanded(
    x: Float[Tensor, "b c h w"],
    expand: Callable[[Float[Tensor, "n c"]], Float[Tensor, "n d"]],
    padding: Padding,
) -> Float[Tensor, "b d h w"]:
    """Expand the channels of maps; appended rows and columns stay zero."""
    inner = on_pixels(expand, x)
    if padding.extra[0]:
        inner[:, :, -1] = 0
    if padding.extra[1]:
        inner[..., -1] = 0
    return inner


class _InvertedBottleneck(torch.autograd.Function):
    """Autograd function of `inverted_bottleneck`; it saves the input and both activations."""

    @staticmethod
    def forward(ctx: Any, stride: int, x: Tensor, *parts: Tensor | None) -> Tensor:
        layers = Bottleneck(*parts)  # type: ignore[arg-type]
        ctx.size = x.shape[2:]
        with torch.autocast("cpu", enabled=False):
            x, padding = pad_asymmetrically(x, layers.depthwise.shape[2], stride)
            inner = x
            if layers.expand is not None:
                matrix, bias = layers.expand.flatten(1), layers.expand_bias
                inner = expanded(x, lambda rows: multiply(rows, matrix, bias, "relu6"), padding)
            convolved = depthwise_relu6(
                inner, layers.depthwise, layers.depthwise_bias, stride, padding.symmetric
            )
            matrix, bias = layers.project.flatten(1), layers.project_bias
            out = on_pixels(lambda rows: multiply(rows, matrix, bias), convolved)
        ctx.save_for_backward(x, inner, convolved, layers.expand, layers.depthwise, layers.project)
        ctx.stride, ctx.padding = stride, padding.symmetric
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, inner, convolved, expand, depthwise, project = ctx.saved_tensors
        needs = ctx.needs_input_grad[1:]
        grads: list[Tensor | None] = [None] * 7
        grad = pixels(grad_out)
        if needs[5]:
            grads[5] = (grad.T @ pixels(convolved))[..., None, None]
        if needs[6]:
            grads[6] = grad.sum(0)
        if any(needs[:5]):
            grad = to_maps(grad @ project.flatten(1), convolved)
            clip_gradient(grad, convolved)
            layer = grad, inner, depthwise, ctx.stride, ctx.padding
            if needs[3]:
                grads[3] = weight_gradient(*layer)
            if needs[4]:
                grads[4] = grad.sum((0, 2, 3))
            if any(needs[:3]):
                grad = input_gradient(*layer)
        if any(needs[:3]) and expand is not None:
            clip_gradient(grad, inner)
            rows = pixels(grad)
            if needs[1]:
                grads[1] = (rows.T @ pixels(x))[..., None, None]
            if needs[2]:
                grads[2] = rows.sum(0)
            if needs[0]:
                grad = to_maps(rows @ expand.flatten(1), x)
        if needs[0]:
            grads[0] = grad[..., : ctx.size[0], : ctx.size[1]]
        return None, *grads
