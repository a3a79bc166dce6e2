"""The MSDeformAttn pixel decoder (Mask2Former, 3.2.1)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.feed_forward import Parameters, feed_forward
from unimask.kernels.layer_norm import Norm
from unimask.kernels.linear import kept, learns, ready_layer
from unimask.kernels.positions import cell_centres, level_positions
from unimask.kernels.rows import by_rows
from unimask.kernels.upsampling import upsampled_lines
from unimask.modeling.layers.deformable import DeformableAttention
from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.layers.pyramid import (
    group_norm,
    lateral_convolution,
    output_convolution,
    start_convolutions,
)
from unimask.modeling.pixel_decoders.output import PixelDecoderOutput


class DeformableEncoderLayer(nn.Module):
    """Deformable attention, then a feed-forward part, each normalised after its sum.

    Args:
        dim: Width of a position.
        num_levels: Maps.
        num_heads: Heads.
        num_points: Points per head and level.
        ffn_dim: Hidden width of the feed-forward part.
        dropout: Dropout of both parts.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_levels: int,
        num_heads: int,
        num_points: int,
        ffn_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(
            dim=dim, num_levels=num_levels, num_heads=num_heads, num_points=num_points
        )
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self,
        memory: Float[Tensor, "b n c"],
        positions: Float[Tensor, "n c"],
        centres: Float[Tensor, "n 2"],
        shapes: list[tuple[int, int]],
    ) -> Float[Tensor, "b n c"]:
        """Mix positions, then channels."""
        widen, narrow = kept(
            self, lambda: (ready_layer(self.linear1, "relu"), ready_layer(self.linear2))
        )
        read = self.self_attn.reader(memory, shapes)
        if learns(memory) and not (self.training and self.dropout.p):
            one, two = self.linear1, self.linear2
            own = Parameters(one.weight, one.bias, two.weight, two.bias)
            norm = Norm(self.norm1.weight, self.norm1.bias, self.norm1.eps)
            placed = memory + read(memory, positions, centres)
            return self.norm2(feed_forward(placed, own, "relu", norm, residual=True))

        def mix(rows: Tensor, codes: Tensor, centres: Tensor) -> Tensor:
            rows = self.norm1(rows + self.dropout(read(rows, codes, centres)))
            return self.norm2(rows + self.dropout(narrow(self.dropout(widen(rows)))))

        return by_rows(mix, memory, positions, centres)


class DeformablePixelDecoder(nn.Module):
    """Refine strides 32, 16 and 8 together, then add stride 4 by one step of an FPN.

    Args:
        input_channels: Channels of the backbone's maps, fine to coarse.
        dim: Width of the pyramid.
        mask_dim: Channels of the mask features.
        layers: Of the encoder over the maps at strides 32, 16 and 8.
        local_positions: Measure positions in pixels instead of in shares of the picture.
    """

    num_levels = 3

    def __init__(
        self,
        *,
        input_channels: tuple[int, ...],
        dim: int,
        mask_dim: int,
        layers: Sequence[DeformableEncoderLayer],
        local_positions: bool,
    ) -> None:
        super().__init__()
        self.local_positions = local_positions
        finest, *others = input_channels
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, dim, 1), group_norm(dim))
            for channels in reversed(others)
        )
        self.level_embed = nn.Parameter(torch.randn(self.num_levels, dim))
        self.layers = nn.ModuleList(layers)
        self.lateral = lateral_convolution(finest, dim)
        self.output = output_convolution(dim, dim)
        self.mask_features = nn.Conv2d(dim, mask_dim, 1)
        self.initialise()

    def initialise(self) -> None:
        """Start convolutions as the authors do: Xavier for inputs, Kaiming (a=1) for the FPN."""
        for project in self.input_proj:
            convolution: nn.Conv2d = project[0]  # type: ignore[index]
            nn.init.xavier_uniform_(convolution.weight)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        for part in (self.lateral, self.output, self.mask_features):
            start_convolutions(part)

    def forward(self, features: tuple[Tensor, ...]) -> PixelDecoderOutput:
        """Give the mask features and the refined maps."""
        finest, *others = features
        maps = [
            project(feature)
            for project, feature in zip(self.input_proj, reversed(others), strict=True)
        ]
        refined = self.encode(maps)
        project, norm = self.lateral
        lines = upsampled_lines(refined[-1], (finest.shape[-2], finest.shape[-1]))
        pyramid = self.output(norm(project(finest), lines))
        return PixelDecoderOutput(
            MaskFeatures(pyramid, self.mask_features), tuple(refined), refined[0]
        )

    def encode(self, maps: list[Tensor]) -> list[Tensor]:
        """Let the positions of all maps attend to one another."""
        shapes = [(feature.shape[-2], feature.shape[-1]) for feature in maps]
        memory = torch.cat([feature.flatten(2).transpose(1, 2) for feature in maps], dim=1)
        codes = level_positions(shapes, memory.shape[-1], memory, local=self.local_positions)
        embeds = self.level_embed.to(memory.dtype)
        positions = torch.cat([code + embed for code, embed in zip(codes, embeds, strict=True)])
        centres = cell_centres(tuple(shapes), memory.device)
        for layer in self.layers:
            memory = layer(memory, positions, centres, shapes)
        parts = memory.split([h * w for h, w in shapes], dim=1)
        return [
            part.unflatten(1, shape).permute(0, 3, 1, 2)
            for part, shape in zip(parts, shapes, strict=True)
        ]
