"""Queries taken from the picture: query selection, after Mask DINO (Li et al. 2023, 3.3)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.positions import cell_centres
from unimask.modeling.layers.anchors import Anchors
from unimask.modeling.layers.mask_head import MaskHead

FINEST = 8
"""Stride of the finest map that cells bid on, in pixels of the network's input."""

REACH = 1.5
"""Radius of a cell's first guess over the side of the cell: each map stands for sizes twice the
last one's."""


class ProposedQueries(NamedTuple):
    """Features and position codes of the chosen cells, and where they lie."""

    features: Float[Tensor, "b q c"]
    positions: Float[Tensor, "b q c"]
    anchors: Anchors


class Proposals(nn.Module):
    """Let every cell bid to be an object, and make queries of the highest bids.

    The decoder's own class head judges the bids, so they need no loss of their own: the first
    prediction, from bare queries, is matched and supervised like that of every layer.

    Args:
        dim: Width of the queries.
        share: Queries per cell.
        most: Queries at most.
    """

    def __init__(self, *, dim: int, share: float, most: int) -> None:
        super().__init__()
        self.share, self.most = share, most
        self.project = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        memories: list[Float[Tensor, "b _ c"]],
        positions: list[Float[Tensor, "_ c"]],
        sizes: list[tuple[int, int]],
        head: MaskHead,
    ) -> ProposedQueries:
        """Choose among the cells of all maps."""
        bids = self.norm(self.project(torch.cat(memories, dim=1)))
        count = max(1, min(round(self.share * bids.shape[1]), self.most))
        with torch.no_grad():
            scores = head.classes(bids).float().softmax(-1)[..., :-1].amax(-1)
            chosen = peaks(scores, sizes).topk(count, dim=1).indices
        places = self.places(sizes, bids.device)[chosen]
        features = bids.gather(1, chosen[..., None].expand(-1, -1, bids.shape[-1]))
        codes = torch.cat(positions)[chosen]
        extent = (sizes[-1][1] * FINEST, sizes[-1][0] * FINEST)
        anchors = Anchors(places[..., :2], places[..., 2], extent)
        return ProposedQueries(features, codes, anchors)

    def places(self, sizes: list[tuple[int, int]], device: torch.device) -> Float[Tensor, "n 3"]:
        """Give every cell's centre (x, y) and the radius of its first guess, in pixels."""
        height, width = (FINEST * side for side in sizes[-1])
        centres = cell_centres(tuple(sizes), device)
        radii = [centres.new_full((h * w, 1), REACH * height / h) for h, w in sizes]
        return torch.cat([centres * centres.new_tensor([width, height]), torch.cat(radii)], dim=1)


def peaks(scores: Float[Tensor, "b n"], sizes: list[tuple[int, int]]) -> Float[Tensor, "b n"]:
    """Send cells to the end of the queue that have a better neighbour on their map."""
    kept = []
    for part, size in zip(scores.split([h * w for h, w in sizes], dim=1), sizes, strict=True):
        grid = part.unflatten(1, size)
        best = F.max_pool2d(grid, 3, stride=1, padding=1)
        kept.append(torch.where(grid == best, grid, grid - 1).flatten(1))
    return torch.cat(kept, dim=1)
