"""Swin transformer (Liu et al. 2021), as the segmentation models use it: any picture size."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unimask.kernels.layer_norm import Norm
from unimask.kernels.linear import forget, kept, learns, ready_layer
from unimask.kernels.rows import by_rows
from unimask.kernels.shifted_windows import relative_position_index, roll
from unimask.kernels.window_attention import (
    Band,
    Parameters,
    bands_in_cache,
    cut,
    join,
    learn_window_attention,
    mix,
    strangers_of,
)
from unimask.modeling.layers.drop_path import DropPath
from unimask.modeling.layers.feed_forward import FeedForward


class PatchEmbed(nn.Module):
    """Project patches of 4x4 pixels; the right and bottom are filled with zeros.

    Args:
        in_channels: Channels of the picture.
        dim: Width of a token.
    """

    patch_size = 4

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, self.patch_size, self.patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b i j d"]:
        """Give one token per patch."""
        h, w = pixel_values.shape[-2:]
        padded = F.pad(pixel_values, (0, -w % self.patch_size, 0, -h % self.patch_size))
        return self.norm(self.proj(padded).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Join 2x2 tokens and halve their joint width; odd maps gain a row or column of zeros.

    Args:
        dim: Width of a token before merging.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(4 * dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b i j d"]:
        """Give the merged tokens."""
        h, w = x.shape[1:3]
        if h % 2 or w % 2:
            x = F.pad(x, (0, 0, 0, w % 2, 0, h % 2))
        joined = torch.cat([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=-1)
        reduce = kept(self, lambda: ready_layer(self.reduction))
        merged = by_rows(lambda rows: reduce(self.norm(rows)), joined.flatten(1, 2))
        return merged.unflatten(1, joined.shape[1:3])


class WindowAttention(nn.Module):
    """Attention within each window, with a learned bias per head and relative position.

    Args:
        dim: Width of a token.
        num_heads: Heads.
        window: Side of the window in tokens.
    """

    index: Tensor

    def __init__(self, dim: int, *, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        offsets = (2 * window - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(offsets, num_heads))
        self.register_buffer("index", relative_position_index(window), persistent=False)

    def bias(self) -> Float[Tensor, "m n n"]:
        """Give the learned bias for each head and pair of tokens."""
        n = self.index.shape[0]
        return (
            self.relative_position_bias_table[self.index.flatten()].view(n, n, -1).permute(2, 0, 1)
        )

    def forward(
        self, windows: Float[Tensor, "b n c"], blocked: Bool[Tensor, "w n n"] | None
    ) -> Float[Tensor, "b n c"]:
        """Attend within windows; `b` counts pictures times windows, windows vary fastest."""
        return self.ready()(windows, blocked)

    def ready(self) -> Callable[..., Float[Tensor, "b n c"]]:
        """Give `forward` as a function for many calls."""
        qkv, proj, bias = kept(
            self, lambda: (ready_layer(self.qkv), ready_layer(self.proj), self.bias())
        )
        return lambda windows, blocked: proj(mix(qkv(windows), bias, blocked))


class SwinBlock(nn.Module):
    """Windowed attention and a feed-forward part, each on a normalised residual branch.

    Args:
        dim: Width of a token.
        num_heads: Heads.
        window: Side of the window.
        shift: Tokens by which the windows are moved; 0 in every other block.
        mlp_ratio: Hidden width over width.
        drop_path: Chance to drop a branch.
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
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, num_heads=num_heads, window=window)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Mix tokens within windows, then channels; on a CPU a band of windows at a time."""
        if learns(x):
            x = x + self.drop_path(self.learn_attention(x))
            return x + self.drop_path(self.mlp(x, self.norm2))
        parts = bands_in_cache(x, self.window, self.shift)
        attention, feed_forward = self.attn.ready(), self.mlp.ready()

        def finish(x: Tensor, band: Band) -> Tensor:
            x = x + self.drop_path(self.attend(self.norm1(x), band, attention))
            return x + self.drop_path(feed_forward(self.norm2(x)))

        if len(parts) == 1:
            turn = 0 if isinstance(parts[0].rows, slice) else self.shift
            return roll(finish(roll(x, -turn, 1), parts[0]), turn, 1)
        out = torch.empty_like(x)
        for band in parts:
            out[:, band.rows] = finish(x[:, band.rows], band)
        return out

    def learn_attention(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Normalise and attend, so that gradients find what they need."""
        forget(self.attn)
        qkv, proj = self.attn.qkv, self.attn.proj
        own = Parameters(qkv.weight, qkv.bias, proj.weight, proj.bias, self.attn.bias())
        norm = Norm(self.norm1.weight, self.norm1.bias, self.norm1.eps)
        return learn_window_attention(x, norm, own, self.window, self.shift)

    def attend(
        self, x: Float[Tensor, "b i w c"], band: Band, attention: Callable[..., Tensor]
    ) -> Float[Tensor, "b i w c"]:
        """Cut a band into (shifted) windows, attend, and put it together again."""
        size, columns = (self.window, self.shift), x.shape[2]
        blocked = strangers_of(band, columns, *size, x.device)
        return join(attention(cut(x, band, *size), blocked), band, columns, *size)


class SwinStage(nn.Module):
    """Blocks with plain and shifted windows in turn, then (but for the last stage) merging."""

    def __init__(self, blocks: list[SwinBlock], downsample: PatchMerging | None) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample = downsample

    def forward(
        self, x: Float[Tensor, "b h w c"]
    ) -> tuple[Float[Tensor, "b h w c"], Float[Tensor, "b i j d"]]:
        """Give the stage's map and the next stage's input."""
        x = self.blocks(x)
        return x, x if self.downsample is None else self.downsample(x)


class Swin(nn.Module):
    """Give the normalised outputs of the four stages.

    Args:
        embed_dim: Width of the first stage.
        depths: Blocks per stage.
        num_heads: Heads per stage.
        window_size: Side of the window.
        mlp_ratio: Hidden width over width.
        drop_path: Chance that the last block drops a branch; rises linearly from 0.
        in_channels: Channels of the picture.
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
            self.layers.append(SwinStage(blocks, None if last else PatchMerging(dim)))
            self.add_module(f"norm{stage}", nn.LayerNorm(dim))
        self.apply(initialise)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Give one map per stage, at strides 4, 8, 16 and 32."""
        x = self.patch_embed(pixel_values)
        maps = []
        for stage, layer in enumerate(self.layers):
            out, x = layer(x)
            norm = self.get_submodule(f"norm{stage}")
            maps.append(norm(out).permute(0, 3, 1, 2))
        return tuple(maps)


def initialise(module: nn.Module) -> None:
    """Start linear layers and position tables from a narrow normal distribution."""
    if isinstance(module, nn.Linear):
        # The published truncation lies a hundred deviations out: this is the same distribution.
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, WindowAttention):
        nn.init.normal_(module.relative_position_bias_table, std=0.02)
