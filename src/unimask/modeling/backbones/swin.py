"""Swin transformer (Liu et al. 2021), as the segmentation models use it: any picture size."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unimask.kernels.linear import kept, ready_layer
from unimask.kernels.rows import rows_at_a_time
from unimask.kernels.shifted_windows import relative_position_index, roll, strangers
from unimask.kernels.window_bands import Band, bands
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
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, dim=-1)))


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
        return lambda windows, blocked: proj(self.mix(qkv(windows), bias, blocked))

    def mix(
        self,
        qkv: Float[Tensor, "b n d"],
        bias: Float[Tensor, "m n n"],
        blocked: Bool[Tensor, "w n n"] | None,
    ) -> Float[Tensor, "b n c"]:
        """Mix the values of each window, by the likeness of queries and keys."""
        b, n, d = qkv.shape
        qkv = qkv.view(b, n, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        bias = bias.to(qkv.dtype)[None]
        if blocked is not None:
            # -100 and not minus infinity: the released weights were trained with it.
            bias = bias + blocked.to(qkv.dtype)[:, None] * -100.0
            # One picture needs no copy of it; flattening copies only for more.
            bias = bias.expand(b // len(blocked), -1, -1, -1, -1).flatten(0, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return mixed.transpose(1, 2).reshape(b, n, d // 3)


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
        b, h, w, _ = x.shape
        lines = -(-rows_at_a_time(x, h * w, pictures=b) // (self.window * w))
        whole, *parts = bands(h, self.window, self.shift, lines)
        attention, feed_forward = self.attn.ready(), self.mlp.ready()

        def mix(x: Tensor, band: Band) -> Tensor:
            x = x + self.drop_path(self.attend(self.norm1(x), band, attention))
            return x + self.drop_path(feed_forward(self.norm2(x)))

        if not parts:
            turn = 0 if isinstance(whole.rows, slice) else self.shift
            return roll(mix(roll(x, -turn, 1), whole), turn, 1)
        out = torch.empty_like(x)
        for band in parts:
            out[:, band.rows] = mix(x[:, band.rows], band)
        return out

    def attend(
        self, x: Float[Tensor, "b i w c"], band: Band, attention: Callable[..., Tensor]
    ) -> Float[Tensor, "b i w c"]:
        """Cut a band into (shifted) windows, attend, and put it together again."""
        b, _, w, c = x.shape
        window, shift = self.window, self.shift
        x = roll(band.fill(F.pad(x, (0, 0, 0, -w % window))), -shift, 2)
        height, width = x.shape[1:3]
        blocked = None
        if shift:
            tiles = strangers(band.height, width, window, shift, x.device)
            blocked = tiles.unflatten(0, (-1, width // window))[band.lines].flatten(0, 1)
        tiles = x.view(b, height // window, window, width // window, window, c)
        tiles = tiles.transpose(2, 3).reshape(-1, window * window, c)
        tiles = attention(tiles, blocked)
        tiles = tiles.view(b, height // window, width // window, window, window, c)
        x = roll(tiles.transpose(2, 3).reshape(b, height, width, c), shift, 2)
        return band.clear(x)[:, :, :w]


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
