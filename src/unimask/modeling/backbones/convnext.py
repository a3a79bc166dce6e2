"""ConvNeXt (Liu et al. 2022), with one normalization per output map, as OneFormer uses it."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.drop_path import DropPath
from unimask.modeling.layers.recomputable import RecomputableLayer

EPSILON = 1e-6
"""Epsilon of every normalization, as published; PyTorch's default is ten times larger."""


class ChannelNorm(nn.LayerNorm):
    """Layer normalization of the channels of each pixel.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalize; the result is contiguous, as convolutions expect."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


class ConvNeXtBlock(RecomputableLayer):
    """7x7 depthwise convolution and two pointwise layers on a residual branch (figure 4).

    Args:
        dim: Number of channels.
        drop_path: Probability that the branch is dropped in training.
        layer_scale: Initial scale of each channel of the branch; 0 for no scale.
    """

    def __init__(self, dim: int, *, drop_path: float, layer_scale: float) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), layer_scale)) if layer_scale else None
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:  # noqa: D102
        branch = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        branch = self.pwconv2(F.gelu(self.pwconv1(branch)))
        if self.gamma is not None:
            branch = self.gamma * branch
        return x + self.drop_path(branch.permute(0, 3, 1, 2))


class ConvNeXt(nn.Module):
    """ConvNeXt with normalized outputs of its four stages.

    Args:
        dims: Number of channels per stage.
        depths: Number of blocks per stage.
        drop_path: Drop path rate of the last block; it rises linearly from 0.
        layer_scale: Initial scale of every branch; 0 for no scale.
        in_channels: Number of channels of the image.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        *,
        dims: tuple[int, ...],
        depths: tuple[int, ...],
        drop_path: float,
        layer_scale: float,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.channels = tuple(dims)
        stem = nn.Sequential(nn.Conv2d(in_channels, dims[0], 4, stride=4), ChannelNorm(dims[0]))
        self.downsample_layers = nn.ModuleList([stem])
        for inputs, outputs in pairwise(dims):
            convolution = nn.Conv2d(inputs, outputs, 2, stride=2)
            self.downsample_layers.append(nn.Sequential(ChannelNorm(inputs), convolution))
        rates = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        self.stages = nn.ModuleList()
        for stage, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
            blocks = [
                ConvNeXtBlock(dim, drop_path=next(rates), layer_scale=layer_scale)
                for _ in range(depth)
            ]
            self.stages.append(nn.Sequential(*blocks))
            self.add_module(f"norm{stage}", ChannelNorm(dim))
        self.apply(initialize)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Compute one map per stage, at strides 4, 8, 16 and 32.

        Images are padded with zeros at the bottom and right to a multiple of 32, as the authors
        pad theirs, and the maps are cropped to the image. Without padding, strided convolutions
        would drop the last rows and columns.
        """
        h, w = pixel_values.shape[-2:]
        x = F.pad(pixel_values, (0, -w % self.strides[-1], 0, -h % self.strides[-1]))
        maps = []
        for index, stride in enumerate(self.strides):
            x = self.stages[index](self.downsample_layers[index](x))
            out = self.get_submodule(f"norm{index}")(x)
            maps.append(out[..., : -(-h // stride), : -(-w // stride)])
        return tuple(maps)


def initialize(module: nn.Module) -> None:
    """Initialize convolutions and linear layers from a normal distribution (std 0.02)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        # Published as truncated at 100 standard deviations: the same distribution.
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
