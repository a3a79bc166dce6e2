"""The masked-attention transformer decoder (Mask2Former, 3.2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unimask.kernels.blocked_positions import blocked_positions
from unimask.kernels.positions import clip_positions, level_positions
from unimask.modeling.layers.attention import Attention
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.layers.recomputable import RecomputableLayer
from unimask.modeling.pixel_decoders import PixelDecoderOutput
from unimask.modeling.transformer_decoders.queries import FlattenedMaps, LearnedQueries
from unimask.modeling.transformer_decoders.task_queries import TaskQueries
from unimask.outputs import FactoredOutput, SegmenterOutput


class MaskedDecoderLayer(RecomputableLayer):
    """Masked cross-attention, self-attention, feed-forward part; each followed by add and norm.

    Args:
        dim: Number of channels of the queries.
        num_heads: Number of heads.
        ffn_dim: Number of hidden channels of the feed-forward part.
        dropout: Dropout rate of every part.
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
        projections = self.cross_attn.out_proj, self.self_attn.out_proj
        for linear in (self.linear1, self.linear2, *projections):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self,
        queries: Float[Tensor, "b q c"],
        query_positions: Float[Tensor, "... q c"],
        keys: Float[Tensor, "b n c"],
        memory: Float[Tensor, "b n c"],
        blocked: Bool[Tensor, "b q n"],
    ) -> Float[Tensor, "b q c"]:
        """Apply the three parts of the layer (Mask2Former, 3.2.1).

        Args:
            queries: Query features.
            query_positions: Position embeddings of the queries.
            keys: Memory plus its position encodings.
            memory: Features of all positions of one map.
            blocked: True where a query must not attend to a position.
        """
        # Masked cross-attention (equation 2).
        attended = self.cross_attn(queries + query_positions, keys, memory, blocked=blocked)
        queries = self.cross_norm(queries + self.dropout(attended))
        # Self-attention.
        q = k = queries + query_positions
        queries = self.self_norm(queries + self.dropout(self.self_attn(q, k, queries)))
        # Feed-forward part.
        hidden = self.dropout(F.relu(self.linear1(queries)))
        return self.ffn_norm(queries + self.dropout(self.linear2(hidden)))


class MaskedAttentionDecoder(nn.Module):
    """Transformer decoder whose layers attend to the multi-scale maps in turn (figure 2).

    Args:
        input_dim: Number of channels of the multi-scale features.
        dim: Number of channels of the queries.
        queries: Source of the queries.
        layers: Decoder layers; layer i attends to map i modulo 3, coarse to fine.
        head: Prediction head, shared by all layers.
        enforce_input_proj: Whether maps with as many channels as the queries are projected too.
        local_positions: Whether positions are measured in pixels instead of relative to the image.
        clips: Whether queries attend to all frames of a clip, with encodings of time.

    Raises:
        ValueError: Clips are combined with an option that only networks for images have.
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
        clips: bool = False,
    ) -> None:
        super().__init__()
        if clips and (
            local_positions or isinstance(queries, TaskQueries) or queries.proposals is not None
        ):
            raise ValueError("clips have no local positions, task queries or proposals")
        self.local_positions, self.clips = local_positions, clips
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
        """Predict classes and masks of all queries.

        Args:
            pixels: Output of the pixel decoder.
            task_token: Token of each image's task (OneFormer), or None.
            auxiliary: Whether to return the predictions of earlier layers too, first those of the
                initial queries.
            factored: Whether to return the masks of all layers as factors; masks of anchored
                queries are computed.
        """
        maps, frames = self.flatten_maps(pixels), pixels.mask_features.frames
        initial, query_positions, anchors = self.queries(maps, self.head, task_token)
        resized = [maps.mask_features.at_size(size) for size in maps.sizes]
        keys = [memory + code for memory, code in zip(maps.memories, maps.positions, strict=True)]
        maps = maps._replace(positions=[])  # those of clips are as large as the keys
        states = [initial]
        for index, layer in enumerate(self.layers):
            level = index % self.num_levels
            with torch.no_grad():
                masks = self.head.masks(states[-1], resized[level], anchors)
                blocked = blocked_positions(masks, frames)
            states.append(
                layer(states[-1], query_positions, keys[level], maps.memories[level], blocked)
            )
        if factored and anchors is None:
            return self.head.factored(states, maps.mask_features)._replace(object_queries=initial)
        predicted = states if auxiliary else states[-1:]
        *earlier, last = self.head.predict_layers(predicted, maps.mask_features, anchors)
        queries = initial if auxiliary else None
        return SegmenterOutput(last.class_logits, last.mask_logits, tuple(earlier), queries)

    def flatten_maps(self, pixels: PixelDecoderOutput) -> FlattenedMaps:
        """Project and flatten each map, with its position encodings and size.

        The cells of all frames of a clip follow each other.
        """
        features, frames = pixels.multi_scale_features, pixels.mask_features.frames
        sizes = [(feature.shape[-2], feature.shape[-1]) for feature in features]
        memories = [
            project(feature).flatten(2).transpose(1, 2) + embed
            for project, embed, feature in zip(
                self.input_proj, self.level_embed, features, strict=True
            )
        ]
        dim = memories[0].shape[-1]
        if self.clips:
            memories = [memory.reshape(-1, frames * memory.shape[1], dim) for memory in memories]
            positions = clip_positions(sizes, frames, dim, memories[0])
        else:
            positions = level_positions(sizes, dim, memories[0], local=self.local_positions)
        return FlattenedMaps(pixels.mask_features, memories, positions, sizes)
