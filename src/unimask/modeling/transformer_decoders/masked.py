"""The masked-attention transformer decoder (Mask2Former, 3.2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unimask.kernels.positions import level_positions
from unimask.modeling.layers.attention import Attention
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.layers.masks import blocked_positions
from unimask.modeling.pixel_decoders import PixelDecoderOutput
from unimask.modeling.transformer_decoders.queries import LearnedQueries, PictureMaps
from unimask.modeling.transformer_decoders.task_queries import TaskQueries
from unimask.outputs import FactoredOutput, SegmenterOutput


class MaskedDecoderLayer(nn.Module):
    """Cross-attention inside the mask, self-attention, feed-forward; normalised after each sum.

    Args:
        dim: Width of the queries.
        num_heads: Heads.
        ffn_dim: Hidden width of the feed-forward part.
        dropout: Dropout of every part.
    """

    def __init__(self, *, dim: int, num_heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.cross_attn = Attention(dim, num_heads=num_heads, dropout=dropout)
        self.cross_norm = nn.LayerNorm(dim)
        self.self_attn = Attention(dim, num_heads=num_heads, dropout=dropout)
        self.self_norm = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.ffn_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        for linear in (
            self.linear1,
            self.linear2,
            self.cross_attn.out_proj,
            self.self_attn.out_proj,
        ):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self,
        queries: Float[Tensor, "b q c"],
        query_positions: Float[Tensor, "... q c"],
        keys: Float[Tensor, "b n c"],
        memory: Float[Tensor, "b n c"],
        blocked: Bool[Tensor, "b q n"],
    ) -> Float[Tensor, "b q c"]:
        """Read the memory, found by its keys, inside the masks; then let the queries agree."""
        read = self.cross_attn(queries + query_positions, keys, memory, blocked=blocked)
        queries = self.cross_norm(queries + self.dropout(read))
        placed = queries + query_positions
        queries = self.self_norm(queries + self.dropout(self.self_attn(placed, placed, queries)))
        hidden = self.dropout(F.relu(self.linear1(queries)))
        return self.ffn_norm(queries + self.dropout(self.linear2(hidden)))


class MaskedAttentionDecoder(nn.Module):
    """Refine queries layer by layer, each layer looking at one map in turn.

    Args:
        input_dim: Channels of the multi-scale features.
        dim: Width of the queries.
        queries: Where the queries come from.
        layers: Layer i reads map i modulo 3, coarse to fine.
        head: Turns queries into classes and masks, the same one after every layer.
        enforce_input_proj: Project maps that are as wide as the queries, too.
        local_positions: Measure positions in pixels instead of in shares of the picture.
    """

    num_levels = 3

    def __init__(
        self,
        *,
        input_dim: int,
        dim: int,
        queries: LearnedQueries | TaskQueries,
        layers: Sequence[MaskedDecoderLayer],
        head: MaskHead,
        enforce_input_proj: bool,
        local_positions: bool,
    ) -> None:
        super().__init__()
        self.local_positions = local_positions
        self.queries = queries
        self.level_embed = nn.Parameter(torch.randn(self.num_levels, dim))
        fits = input_dim == dim and not enforce_input_proj
        self.input_proj = nn.ModuleList(
            nn.Identity() if fits else nn.Conv2d(input_dim, dim, 1) for _ in range(self.num_levels)
        )
        self.layers = nn.ModuleList(layers)
        self.head = head

    def forward(
        self,
        pixels: PixelDecoderOutput,
        task_token: Float[Tensor, "b c"] | None = None,
        *,
        auxiliary: bool,
        factored: bool = False,
    ) -> SegmenterOutput | FactoredOutput:
        """Give the last prediction; with `auxiliary` those before it too, bare queries first.

        With `factored`, all of them with masks as factors; those of anchored queries are drawn.
        """
        maps = self.lay_out(pixels)
        bare, places, anchors = self.queries(maps, self.head, task_token)
        coarse = [maps.mask_features.at_size(size) for size in maps.sizes]
        keys = [memory + code for memory, code in zip(maps.memories, maps.positions, strict=True)]
        states = [bare]
        for index, layer in enumerate(self.layers):
            level = index % self.num_levels
            with torch.no_grad():
                blocked = blocked_positions(self.head.masks(states[-1], coarse[level], anchors))
            states.append(layer(states[-1], places, keys[level], maps.memories[level], blocked))
        if factored and anchors is None:
            return self.head.factored(states, maps.mask_features)._replace(queries=bare)
        told = states if auxiliary else states[-1:]
        *earlier, last = self.head.predict_layers(told, maps.mask_features, anchors)
        first_queries = bare if auxiliary else None
        return SegmenterOutput(last.class_logits, last.mask_logits, tuple(earlier), first_queries)

    def lay_out(self, pixels: PixelDecoderOutput) -> PictureMaps:
        """Give each map's cells as a sequence, with their positions and the map's size."""
        features = pixels.multi_scale_features
        sizes = [(feature.shape[-2], feature.shape[-1]) for feature in features]
        memories = [
            project(feature).flatten(2).transpose(1, 2) + embed
            for project, embed, feature in zip(
                self.input_proj, self.level_embed, features, strict=True
            )
        ]
        dim = memories[0].shape[-1]
        positions = level_positions(sizes, dim, memories[0], local=self.local_positions)
        return PictureMaps(pixels.mask_features, memories, positions, sizes)
