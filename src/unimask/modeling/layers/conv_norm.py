"""Convolutions followed by normalization, which is folded into the weight where it is fixed."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.group_norm import GroupNorm

Norm = Literal["frozen_batch", "batch", "group"]


class FrozenBatchNorm(nn.Module):
    """Batch normalization with fixed statistics and affine parameters.

    Args:
        channels: Number of channels.
        eps: Added to the variance.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.eps = eps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Scale and shift each channel."""
        scale, shift = (part.to(x.dtype)[:, None, None] for part in affine(self))
        return x * scale + shift


class BatchNorm(nn.BatchNorm2d):
    """Batch normalization whose running statistics move by a hundredth per step.

    This is TensorFlow's default; PyTorch's is a tenth.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, eps, momentum=0.01)


def affine(
    norm: FrozenBatchNorm | nn.BatchNorm2d,
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Return scale and shift of every channel by fixed statistics."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return scale, norm.bias - mean * scale


def build_norm(kind: Norm, channels: int, eps: float = 1e-5) -> nn.Module:
    """Build a normalization; group norm has 32 groups, or their gcd with the channels."""
    if kind == "frozen_batch":
        return FrozenBatchNorm(channels, eps)
    if kind == "batch":
        return BatchNorm(channels, eps)
    return GroupNorm(math.gcd(32, channels), channels)


class ConvNorm(nn.Conv2d):
    """Convolution without bias and with "same" padding, followed by normalization.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        side: Side of the kernel; odd.
        norm: Kind of normalization.
        stride: Stride of the convolution.
        dilation: Dilation of the kernel.
        groups: Number of groups of channels that are convolved separately.
        eps: Added to the variance of batch normalization.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        *,
        norm: Norm,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        eps: float = 1e-5,
    ) -> None:
        padding = dilation * (side // 2)
        super().__init__(inputs, outputs, side, stride, padding, dilation, groups, bias=False)
        self.norm = build_norm(norm, outputs, eps)
        # Kaiming's normal distribution (fan_out), where `nn.init` would ignore the groups.
        std = math.sqrt(2) / math.sqrt(outputs * side * side / groups)
        nn.init.normal_(self.weight, std=std)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:  # noqa: D102
        if not has_fixed_statistics(self.norm):
            return self.norm(super().forward(input))
        weight, bias = self.folded()
        return self._conv_forward(input, weight, bias.to(input.dtype))

    def folded(self) -> tuple[Float[Tensor, "d c k k"], Float[Tensor, " d"]]:
        """Return weight and bias with fixed statistics folded in.

        This saves one multiplication per value.
        """
        scale, shift = affine(self.norm)  # type: ignore[arg-type]
        return self.weight * scale.to(self.weight.dtype)[:, None, None, None], shift


def has_fixed_statistics(norm: nn.Module) -> bool:
    """Return whether a normalization uses statistics that do not depend on its input."""
    return isinstance(norm, FrozenBatchNorm) or (isinstance(norm, BatchNorm) and not norm.training)
