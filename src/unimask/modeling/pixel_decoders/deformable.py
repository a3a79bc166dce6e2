"""The MSDeformAttn pixel decoder (Mask2Former, 3.2.1)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.feed_forward import post_norm_feed_forward
from unimask.kernels.positions import cell_centres, level_positions
from unimask.kernels.rows import rowwise
from unimask.kernels.upsampling import upsampled_rows
from unimask.modeling.layers.deformable import DeformableAttention
from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.layers.pyramid import (
    group_norm,
    initialize_convolutions,
    lateral_convolution,
    output_convolution,
)
from unimask.modeling.layers.recomputable import RecomputableLayer
from unimask.modeling.pixel_decoders.output import PixelDecoderOutput


class DeformableEncoderLayer(RecomputableLayer):
    """Deformable self-attention and feed-forward part, each followed by add and norm.

    Args:
        dim: Number of channels.
        num_levels: Number of levels (maps).
        num_heads: Number of heads.
        num_points: Number of sampling points per head and level.
        ffn_dim: Number of hidden channels of the feed-forward part.
        dropout: Dropout rate of both parts.
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
        """Refine the features of all levels (Deformable DETR, 4.1).

        Args:
            memory: Features of all positions, level after level.
            positions: Position and level encodings.
            centres: Centre (x, y) of each position, from 0 to 1.
            shapes: Height and width of each level.
        """
        sample = self.self_attn.value_sampler(memory, shapes)

        @rowwise
        def layer(rows: Tensor, positions: Tensor, centres: Tensor) -> Tensor:
            rows = rows + self.dropout(self.self_attn(rows, positions, centres, sample))
            rows = post_norm_feed_forward(
                rows, self.norm1, self.linear1, self.linear2, dropout=self.dropout
            )
            return self.norm2(rows)

        return layer(memory, positions, centres)


class DeformablePixelDecoder(nn.Module):
    """Refine the maps at strides 32, 16 and 8 together, then add stride 4 by one step of an FPN.

    Args:
        input_channels: Number of channels of the backbone's maps, fine to coarse.
        dim: Number of channels of the pyramid.
        mask_dim: Number of channels of the mask features.
        layers: Encoder layers over the maps at strides 32, 16 and 8.
        local_positions: Whether positions are measured in pixels instead of relative to the image.
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
        self.initialize()

    def initialize(self) -> None:
        """Initialize convolutions as the authors: Xavier for inputs, Kaiming (a=1) for the FPN."""
        for project in self.input_proj:
            convolution: nn.Conv2d = project[0]  # type: ignore[index]
            nn.init.xavier_uniform_(convolution.weight)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        for part in (self.lateral, self.output, self.mask_features):
            initialize_convolutions(part)

    def forward(self, features: tuple[Tensor, ...]) -> PixelDecoderOutput:
        """Compute the mask features and the refined maps."""
        finest, *others = features
        maps = [
            project(feature)
            for project, feature in zip(self.input_proj, reversed(others), strict=True)
        ]
        refined = self.encode(maps)
        project, norm = self.lateral
        upsampled = upsampled_rows(refined[-1], (finest.shape[-2], finest.shape[-1]))
        pyramid = self.output(norm(project(finest), upsampled))
        return PixelDecoderOutput(
            MaskFeatures(pyramid, self.mask_features), tuple(refined), refined[0]
        )

    def encode(self, maps: list[Tensor]) -> list[Tensor]:
        """Apply the deformable encoder to the positions of all maps."""
        shapes = [(feature.shape[-2], feature.shape[-1]) for feature in maps]
        memory = torch.cat([feature.flatten(2).transpose(1, 2) for feature in maps], dim=1)
        encodings = level_positions(shapes, memory.shape[-1], memory, local=self.local_positions)
        embeds = self.level_embed.to(memory.dtype)
        positions = torch.cat([code + embed for code, embed in zip(encodings, embeds, strict=True)])
        centres = cell_centres(tuple(shapes), memory.device)
        for layer in self.layers:
            memory = layer(memory, positions, centres, shapes)
        parts = memory.split([h * w for h, w in shapes], dim=1)
        return [
            part.unflatten(1, shape).permute(0, 3, 1, 2)
            for part, shape in zip(parts, shapes, strict=True)
        ]
