"""Swin Transformer (Liu et al. 2021) for images of any size, as the segmentation models use it."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.linear import norm_linear
from unimask.kernels.window_attention import relative_position_index, window_attention
from unimask.modeling.layers.drop_path import DropPath
from unimask.modeling.layers.feed_forward import FeedForward
from unimask.modeling.layers.recomputable import RecomputableLayer
from unimask.modeling.layers.stage import Stage


class PatchEmbed(nn.Module):
    """Linear embedding of 4x4 patches; images are padded with zeros on the right and below.

    Args:
        in_channels: Number of channels of the image.
        dim: Number of channels of a token.
    """

    patch_size = 4

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, self.patch_size, self.patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b i j d"]:
        """Compute one token per patch."""
        h, w = pixel_values.shape[-2:]
        padded = F.pad(pixel_values, (0, -w % self.patch_size, 0, -h % self.patch_size))
        return self.norm(self.proj(padded).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Concatenate 2x2 tokens and halve their channels; maps of odd size are padded with zeros.

    Args:
        dim: Number of channels of a token before merging.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(4 * dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b i j d"]:
        """Compute the merged tokens."""
        h, w = x.shape[1:3]
        if h % 2 or w % 2:
            x = F.pad(x, (0, 0, 0, w % 2, 0, h % 2))
        merged = torch.cat([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=-1)
        return norm_linear(merged, self.norm, self.reduction)


class WindowAttention(nn.Module):
    """Multi-head attention within each window, with a bias per head and relative position.

    Args:
        dim: Number of channels of a token.
        num_heads: Number of heads.
        window: Side of the window in tokens.
    """

    index: Tensor

    def __init__(self, dim: int, *, num_heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        offsets = (2 * window - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(offsets, num_heads))
        self.register_buffer("index", relative_position_index(window), persistent=False)

    def bias(self) -> Float[Tensor, "m n n"]:
        """Return the relative position bias for each head and pair of tokens."""
        n = self.index.shape[0]
        biases = self.relative_position_bias_table[self.index.flatten()]
        return biases.view(n, n, -1).permute(2, 0, 1)

    def forward(
        self, x: Float[Tensor, "b h w c"], norm: nn.LayerNorm, shift: int
    ) -> Float[Tensor, "b h w c"]:
        """Attend within the windows of a normalized map.

        Args:
            x: Tokens of the map.
            norm: Normalization, applied first.
            shift: Number of tokens by which the windows are shifted.
        """
        return window_attention(
            x, norm, self.qkv, self.proj, self.bias(), window=self.window, shift=shift
        )


class SwinBlock(RecomputableLayer):
    """Window attention and feed-forward part, each on a normalized residual branch.

    Args:
        dim: Number of channels of a token.
        num_heads: Number of heads.
        window: Side of the window in tokens.
        shift: Number of tokens by which the windows are shifted; 0 in every other block.
        mlp_ratio: Ratio of hidden channels to channels.
        drop_path: Probability that a branch is dropped in training.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        window: int,
        shift: int,
        mlp_ratio: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.shift = shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, num_heads=num_heads, window=window)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Apply attention and feed-forward part (Swin, equation 3)."""
        x = x + self.drop_path(self.attn(x, self.norm1, self.shift))
        return x + self.drop_path(self.mlp(x, self.norm2))


class Swin(nn.Module):
    """Swin Transformer with normalized outputs of its four stages.

    Args:
        embed_dim: Number of channels of the first stage.
        depths: Number of blocks per stage.
        num_heads: Number of heads per stage.
        window_size: Side of the window in tokens.
        mlp_ratio: Ratio of hidden channels to channels.
        drop_path: Drop path rate of the last block; it rises linearly from 0.
        in_channels: Number of channels of the image.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        *,
        embed_dim: int,
        depths: tuple[int, ...],
        num_heads: tuple[int, ...],
        window_size: int,
        mlp_ratio: float,
        drop_path: float,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.channels = tuple(embed_dim * 2**stage for stage in range(len(depths)))
        self.patch_embed = PatchEmbed(in_channels, embed_dim)
        rates = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        self.layers = nn.ModuleList()
        for stage, (dim, depth, heads) in enumerate(
            zip(self.channels, depths, num_heads, strict=True)
        ):
            blocks = [
                SwinBlock(
                    dim,
                    num_heads=heads,
                    window=window_size,
                    shift=window_size // 2 if index % 2 else 0,
                    mlp_ratio=mlp_ratio,
                    drop_path=next(rates),
                )
                for index in range(depth)
            ]
            last = stage == len(depths) - 1
            self.layers.append(Stage(nn.Sequential(*blocks), None if last else PatchMerging(dim)))
            self.add_module(f"norm{stage}", nn.LayerNorm(dim))
        self.apply(initialize)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Compute one map per stage, at strides 4, 8, 16 and 32."""
        x = self.patch_embed(pixel_values)
        maps = []
        for stage, layer in enumerate(self.layers):
            out, x = layer(x)
            norm = self.get_submodule(f"norm{stage}")
            maps.append(norm(out).permute(0, 3, 1, 2))
        return tuple(maps)


def initialize(module: nn.Module) -> None:
    """Initialize linear layers and position bias tables from a normal distribution (std 0.02)."""
    if isinstance(module, nn.Linear):
        # Published as truncated at 100 standard deviations: the same distribution.
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, WindowAttention):
        nn.init.normal_(module.relative_position_bias_table, std=0.02)
