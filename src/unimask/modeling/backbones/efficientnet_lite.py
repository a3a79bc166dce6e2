"""EfficientNet-Lite (Tan and Le 2019, without squeeze-and-excitation and with ReLU6)."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.depthwise_convolution import depthwise_convolution
from unimask.kernels.inverted_bottleneck import (
    Bottleneck,
    bottleneck_function,
    has_fast_bottleneck,
    inverted_bottleneck,
    on_pixels,
    pad_asymmetrically,
)
from unimask.kernels.linear import cached_for_weights, drop_cached, product, uses_custom_autograd
from unimask.kernels.relu6 import relu6
from unimask.modeling.layers.conv_norm import ConvNorm, Norm, has_fixed_statistics
from unimask.modeling.layers.recomputable import RecomputableLayer

KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)
"""Kernel, stride and expansion of the stages (EfficientNet, table 1)."""

OUTPUT_STAGES = (1, 2, 4, 6)
"""Last stages at strides 4, 8, 16 and 32."""

EPS = 1e-3
"""Added to the variance of batch normalization, as in TensorFlow."""


class SameConvNorm(ConvNorm):
    """Convolution with TensorFlow's "same" padding, normalization, and optionally ReLU6.

    The padding makes the output ceil(size / stride) large. With stride 2 and an even size, the
    bottom and right have one more row and column of zeros than the top and left.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        side: Side of the kernel; odd.
        norm: Kind of normalization.
        stride: Stride of the convolution.
        groups: Number of groups of channels that are convolved separately.
        activation: Whether ReLU6 follows.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        *,
        norm: Norm,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__(inputs, outputs, side, norm=norm, stride=stride, groups=groups, eps=EPS)
        self.activation = activation

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:  # noqa: D102
        out = super().forward(input)
        return relu6(out) if self.activation else out

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padded, padding = pad_asymmetrically(input, self.kernel_size[0], self.stride[0])
        if self.groups > 1:
            return depthwise_convolution(padded, weight, bias, self.stride[0], padding.symmetric)
        if self.kernel_size == (1, 1) and bias is None and uses_custom_autograd(input):
            return on_pixels(product(weight.flatten(1), None), padded)
        return F.conv2d(padded, weight, bias, self.stride, padding.symmetric)


class MBConv(RecomputableLayer):
    """Mobile inverted bottleneck: 1x1 expansion, depthwise convolution, 1x1 projection.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        side: Side of the depthwise kernel; odd.
        stride: Stride of the depthwise convolution.
        expansion: Factor from the input channels to those of the depthwise convolution; without
            expansion, there is no 1x1 convolution before it.
        norm: Kind of normalization.
    """

    def __init__(
        self, inputs: int, outputs: int, side: int, *, stride: int, expansion: int, norm: Norm
    ) -> None:
        super().__init__()
        inner = expansion * inputs
        self.has_shortcut = stride == 1 and inputs == outputs
        self.expand = nn.Identity() if expansion == 1 else SameConvNorm(inputs, inner, 1, norm=norm)
        self.depthwise = SameConvNorm(inner, inner, side, norm=norm, stride=stride, groups=inner)
        self.project = SameConvNorm(inner, outputs, 1, norm=norm, activation=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:  # noqa: D102
        branch = self.branch(x)
        return branch + x if self.has_shortcut else branch

    def branch(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Compute the block without its shortcut, by one kernel where statistics are fixed."""
        if not (has_fixed_statistics(self.depthwise.norm) and has_fast_bottleneck(x)):
            return self.project(self.depthwise(self.expand(x)))
        stride = self.depthwise.stride[0]
        if uses_custom_autograd(x):
            drop_cached(self)
            return inverted_bottleneck(x, self.folded(), stride)
        return cached_for_weights(self, lambda: bottleneck_function(self.folded(), stride))(x)

    def folded(self) -> Bottleneck:
        """Return all weights and biases with fixed statistics folded in."""
        expand = self.expand.folded() if isinstance(self.expand, ConvNorm) else (None, None)
        return Bottleneck(*expand, *self.depthwise.folded(), *self.project.folded())


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite with the outputs of the last stages at strides 4, 8, 16 and 32.

    The classifier's last 1x1 convolution, to 1280 channels, is left out.

    Args:
        stem_channels: Number of channels of the stem.
        channels: Number of output channels of each of the seven stages.
        depths: Number of blocks of each stage.
        norm: "frozen_batch", "batch" or "group".
        in_channels: Number of channels of the image.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        *,
        stem_channels: int,
        channels: tuple[int, ...],
        depths: tuple[int, ...],
        norm: Literal["frozen_batch", "batch", "group"],
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.channels = tuple(channels[stage] for stage in OUTPUT_STAGES)
        self.stem = SameConvNorm(in_channels, stem_channels, 3, norm=norm, stride=2)
        self.stages = nn.ModuleList()
        inputs = stem_channels
        shapes = zip(channels, depths, KERNELS, STRIDES, EXPANSIONS, strict=True)
        for outputs, depth, side, stride, expansion in shapes:
            stage = nn.Sequential()
            for index in range(depth):
                step = stride if index == 0 else 1
                stage.append(
                    MBConv(inputs, outputs, side, stride=step, expansion=expansion, norm=norm)
                )
                inputs = outputs
            self.stages.append(stage)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Compute one map per stride."""
        x = self.stem(pixel_values)
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in OUTPUT_STAGES:
                maps.append(x)
        return tuple(maps)
