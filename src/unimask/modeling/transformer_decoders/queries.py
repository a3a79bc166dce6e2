"""Learned queries, and the format in which every source of queries returns them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.anchors import Anchors
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.transformer_decoders.proposals import Proposals


class FlattenedMaps(NamedTuple):
    """Output of the pixel decoder, flattened for attention.

    Attributes:
        mask_features: Mask features at stride 4.
        memories: Cells of each map, coarse to fine.
        positions: Position encodings of the cells.
        sizes: Height and width of each map.
    """

    mask_features: MaskFeatures
    memories: list[Float[Tensor, "b _ c"]]
    positions: list[Float[Tensor, "_ c"]]
    sizes: list[tuple[int, int]]


class Queries(NamedTuple):
    """Initial queries and their position embeddings; anchors belong to the last of them."""

    features: Float[Tensor, "b q c"]
    positions: Float[Tensor, "... q c"]
    anchors: Anchors | None = None


class LearnedQueries(nn.Module):
    """Learned queries, equal for every image (Mask2Former, 3.2.2), and optionally proposals.

    Args:
        num_queries: Number of learned queries.
        dim: Number of channels.
        proposals: Source of further queries that depend on the image, or None.
    """

    def __init__(self, *, num_queries: int, dim: int, proposals: Proposals | None = None) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(num_queries, dim))
        self.positions = nn.Parameter(torch.randn(num_queries, dim))
        self.proposals = proposals

    def forward(
        self, maps: FlattenedMaps, head: MaskHead, task_token: Float[Tensor, "b c"] | None
    ) -> Queries:
        """Return the queries of a batch; they do not depend on the task."""
        features = self.features.expand(maps.memories[0].shape[0], -1, -1)
        if self.proposals is None:
            return Queries(features, self.positions)
        proposed = self.proposals(maps.memories, maps.positions, maps.sizes, head)
        positions = self.positions.expand(features.shape[0], -1, -1)
        return Queries(
            torch.cat([features, proposed.features.to(features.dtype)], dim=1),
            torch.cat([positions, proposed.positions], dim=1),
            proposed.anchors,
        )
