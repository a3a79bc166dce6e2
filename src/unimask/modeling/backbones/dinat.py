"""DiNAT (Hassani and Shi 2022): neighborhood attention, dense and dilated in turn."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.neighborhood_attention import neighborhood_attention
from unimask.modeling.layers.drop_path import DropPath
from unimask.modeling.layers.feed_forward import FeedForward
from unimask.modeling.layers.recomputable import RecomputableLayer
from unimask.modeling.layers.stage import Stage


class ConvTokenizer(nn.Module):
    """Two 3x3 convolutions of stride 2.

    Args:
        in_channels: Number of channels of the image.
        dim: Number of channels of a token.
    """

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(in_channels, dim // 2, 3, stride=2, padding=1),
            nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1),
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b i j d"]:
        """Compute one token per 4x4 pixels."""
        return self.norm(self.proj(pixel_values).permute(0, 2, 3, 1))


class ConvDownsampler(nn.Module):
    """3x3 convolution of stride 2 that doubles the channels.

    Args:
        dim: Number of input channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Conv2d(dim, 2 * dim, 3, stride=2, padding=1, bias=False)
        self.norm = nn.LayerNorm(2 * dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b i j d"]:
        """Downsample by two along each axis."""
        return self.norm(self.reduction(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class NeighborhoodAttention(nn.Module):
    """Attention of each token to its neighbours, with a relative position bias per head.

    Args:
        dim: Number of channels of a token.
        num_heads: Number of heads.
        kernel_size: Side of the neighborhood in tokens; odd.
        dilation: Distance between neighbours.
    """

    def __init__(self, dim: int, *, num_heads: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dilation = dilation
        self.min_size = kernel_size * dilation
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rpb = nn.Parameter(torch.zeros(num_heads, 2 * kernel_size - 1, 2 * kernel_size - 1))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Apply the attention.

        Maps smaller than a neighborhood are padded with zeros at the bottom and right, which are
        attended to like any token (NATTEN 0.14, `natten2d.py`).
        """
        h, w = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, max(0, self.min_size - w), 0, max(0, self.min_size - h)))
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = qkv.unbind(3)
        mixed = neighborhood_attention(query, key, value, self.rpb, dilation=self.dilation)
        return self.proj(mixed[:, :h, :w].flatten(3))


class DiNATBlock(RecomputableLayer):
    """Neighborhood attention and feed-forward part, each on a normalized residual branch.

    Args:
        dim: Number of channels of a token.
        num_heads: Number of heads.
        kernel_size: Side of the neighborhood.
        dilation: Distance between neighbours.
        mlp_ratio: Ratio of hidden channels to channels.
        drop_path: Probability that a branch is dropped in training.
        layer_scale: Initial scale of each channel of a branch; 0 for no scale.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        kernel_size: int,
        dilation: int,
        mlp_ratio: float,
        drop_path: float,
        layer_scale: float,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = NeighborhoodAttention(
            dim, num_heads=num_heads, kernel_size=kernel_size, dilation=dilation
        )
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)
        self.layer_scale = nn.Parameter(torch.full((2, dim), layer_scale)) if layer_scale else None

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Apply attention and feed-forward part."""
        scales = (1.0, 1.0) if self.layer_scale is None else self.layer_scale
        x = x + self.drop_path(scales[0] * self.attn(self.norm1(x)))
        return x + self.drop_path(scales[1] * self.mlp(self.norm2(x)))


class DiNAT(nn.Module):
    """DiNAT with normalized outputs of its four levels.

    Args:
        embed_dim: Number of channels of the first level.
        num_heads: Number of heads per level.
        kernel_size: Side of the neighborhood; odd.
        dilations: Distance between neighbours per level and block.
        mlp_ratio: Ratio of hidden channels to channels.
        drop_path: Drop path rate of the last block; it rises linearly from 0.
        layer_scale: Initial scale of every branch; 0 for no scale.
        in_channels: Number of channels of the image.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        *,
        embed_dim: int,
        num_heads: tuple[int, ...],
        kernel_size: int,
        dilations: tuple[tuple[int, ...], ...],
        mlp_ratio: float,
        drop_path: float,
        layer_scale: float,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.channels = tuple(embed_dim * 2**level for level in range(len(dilations)))
        self.patch_embed = ConvTokenizer(in_channels, embed_dim)
        rates = iter(torch.linspace(0, drop_path, sum(map(len, dilations)), device="cpu").tolist())
        self.levels = nn.ModuleList()
        for index, (dim, heads) in enumerate(zip(self.channels, num_heads, strict=True)):
            blocks = [
                DiNATBlock(
                    dim,
                    num_heads=heads,
                    kernel_size=kernel_size,
                    dilation=dilation,
                    mlp_ratio=mlp_ratio,
                    drop_path=next(rates),
                    layer_scale=layer_scale,
                )
                for dilation in dilations[index]
            ]
            last = index == len(dilations) - 1
            downsample = None if last else ConvDownsampler(dim)
            self.levels.append(Stage(nn.Sequential(*blocks), downsample))
            self.add_module(f"norm{index}", nn.LayerNorm(dim))
        self.apply(initialize)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Compute one map per level, at strides 4, 8, 16 and 32."""
        x = self.patch_embed(pixel_values)
        maps = []
        for index, level in enumerate(self.levels):
            out, x = level(x)
            norm = self.get_submodule(f"norm{index}")
            maps.append(norm(out).permute(0, 3, 1, 2).contiguous())
        return tuple(maps)


def initialize(module: nn.Module) -> None:
    """Initialize linear layers and position biases from a normal distribution (std 0.02)."""
    if isinstance(module, nn.Linear):
        # Published as truncated at 100 standard deviations: the same distribution.
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, NeighborhoodAttention):
        nn.init.normal_(module.rpb, std=0.02)
