"""Where a decoder's queries come from: learned ones, and what every source gives."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.anchors import Anchors
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.transformer_decoders.proposals import Proposals


class PictureMaps(NamedTuple):
    """What the pixel decoder says of a picture, laid out for queries.

    Attributes:
        mask_features: At stride 4.
        memories: The cells of each map, coarse to fine.
        positions: The position codes of the cells.
        sizes: Height and width of each map.
    """

    mask_features: MaskFeatures
    memories: list[Float[Tensor, "b _ c"]]
    positions: list[Float[Tensor, "_ c"]]
    sizes: list[tuple[int, int]]


class Queries(NamedTuple):
    """Queries and their position codes; anchors belong to the last of them."""

    features: Float[Tensor, "b q c"]
    positions: Float[Tensor, "... q c"]
    anchors: Anchors | None = None


class LearnedQueries(nn.Module):
    """The same queries for every picture (Mask2Former, 3.2.2); with `proposals`, others follow.

    Args:
        num_queries: Learned queries.
        dim: Their width.
        proposals: Makes more queries of the picture.
    """

    def __init__(self, *, num_queries: int, dim: int, proposals: Proposals | None = None) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(num_queries, dim))
        self.positions = nn.Parameter(torch.randn(num_queries, dim))
        self.proposals = proposals

    def forward(
        self, maps: PictureMaps, head: MaskHead, task_token: Float[Tensor, "b c"] | None
    ) -> Queries:
        """Give the queries of a batch; the task does not matter to them."""
        features = self.features.expand(len(maps.memories[0]), -1, -1)
        if self.proposals is None:
            return Queries(features, self.positions)
        found = self.proposals(maps.memories, maps.positions, maps.sizes, head)
        places = self.positions.expand(len(features), -1, -1)
        return Queries(
            torch.cat([features, found.features.to(features.dtype)], dim=1),
            torch.cat([places, found.positions], dim=1),
            found.anchors,
        )
