"""ConvNeXt (Liu et al. 2022), with one normalisation per output map, as OneFormer uses it."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.drop_path import DropPath

EPSILON = 1e-6
"""Of every normalisation, as published; PyTorch's own default is ten times larger."""


class ChannelNorm(nn.LayerNorm):
    """Normalise the channels of each pixel.

    Args:
        channels: Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Give the map, normalised, in the order of memory that convolutions expect."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


class ConvNeXtBlock(nn.Module):
    """A 7x7 convolution within each channel, then two layers across channels (figure 4).

    Args:
        dim: Channels.
        drop_path: Chance to drop the branch.
        layer_scale: What each channel of the branch is multiplied with at first; 0 for no scale.
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
    """Give the normalised outputs of the four stages.

    Args:
        dims: Channels per stage.
        depths: Blocks per stage.
        drop_path: Chance that the last block drops its branch; rises linearly from 0.
        layer_scale: Initial scale of every branch; 0 for none.
        in_channels: Channels of the picture.
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
            halve = nn.Conv2d(inputs, outputs, 2, stride=2)
            self.downsample_layers.append(nn.Sequential(ChannelNorm(inputs), halve))
        rates = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        self.stages = nn.ModuleList()
        for stage, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
            blocks = [
                ConvNeXtBlock(dim, drop_path=next(rates), layer_scale=layer_scale)
                for _ in range(depth)
            ]
            self.stages.append(nn.Sequential(*blocks))
            self.add_module(f"norm{stage}", ChannelNorm(dim))
        self.apply(initialise)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Give one map per stage, at strides 4, 8, 16 and 32.

        Sizes that 32 does not divide are filled up with zeros at the bottom and right, as the
        authors do with their pictures; the maps are cut to what the picture touches. Without
        that, each convolution would leave out the rest of its division.
        """
        h, w = pixel_values.shape[-2:]
        x = F.pad(pixel_values, (0, -w % self.strides[-1], 0, -h % self.strides[-1]))
        maps = []
        for index, stride in enumerate(self.strides):
            x = self.stages[index](self.downsample_layers[index](x))
            out = self.get_submodule(f"norm{index}")(x)
            maps.append(out[..., : -(-h // stride), : -(-w // stride)])
        return tuple(maps)


def initialise(module: nn.Module) -> None:
    """Start convolutions and linear layers from a narrow normal distribution."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        # The published truncation lies a hundred deviations out: this is the same distribution.
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
