"""Convolutions of feature pyramids, as the segmentation models normalise and start them."""

import math

from torch import nn

from unimask.modeling.layers.convolution import Convolution3x3
from unimask.modeling.layers.group_norm import GroupNorm


def lateral_convolution(inputs: int, dim: int) -> nn.Sequential:
    """Give a pointwise convolution, normalised: a backbone's map at the pyramid's width."""
    return nn.Sequential(nn.Conv2d(inputs, dim, 1, bias=False), group_norm(dim))


def output_convolution(inputs: int, dim: int) -> nn.Sequential:
    """Give a 3x3 convolution, normalised and rectified: it smooths a sum of two maps."""
    return nn.Sequential(Convolution3x3(inputs, dim, bias=False), group_norm(dim, rectified=True))


def group_norm(dim: int, *, rectified: bool = False) -> GroupNorm:
    """Give 32 groups, or as many of them as divide the channels."""
    return GroupNorm(math.gcd(32, dim), dim, rectified=rectified)


def start_convolutions(part: nn.Module) -> None:
    """Draw every convolution of a part from Kaiming's uniform range with a=1 (`c2_xavier_fill`)."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, a=1)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
