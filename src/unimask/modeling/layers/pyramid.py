"""Convolutions of feature pyramids, normalized and initialized as in the segmentation models."""

import math

from torch import nn

from unimask.modeling.layers.convolution import Convolution3x3
from unimask.modeling.layers.group_norm import GroupNorm


def lateral_convolution(inputs: int, dim: int) -> nn.Sequential:
    """Build a 1x1 convolution with group norm, from a backbone's map to the pyramid's channels."""
    return nn.Sequential(nn.Conv2d(inputs, dim, 1, bias=False), group_norm(dim))


def output_convolution(inputs: int, dim: int) -> nn.Sequential:
    """Build a 3x3 convolution with group norm and ReLU."""
    return nn.Sequential(Convolution3x3(inputs, dim, bias=False), group_norm(dim, rectified=True))


def group_norm(dim: int, *, rectified: bool = False) -> GroupNorm:
    """Build a group norm with 32 groups, or the greatest common divisor with the channels."""
    return GroupNorm(math.gcd(32, dim), dim, rectified=rectified)


def initialize_convolutions(part: nn.Module) -> None:
    """Initialize every convolution by Kaiming's uniform distribution, a=1 (`c2_xavier_fill`)."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, a=1)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
