"""Query selection from the image, after Mask DINO (Li et al. 2023, 3.3)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.non_maxima import demote_non_maxima
from unimask.kernels.positions import cell_centres
from unimask.modeling.layers.anchors import Anchors
from unimask.modeling.layers.mask_head import MaskHead

FINEST_STRIDE = 8
"""Stride of the finest map whose cells are candidates."""

INITIAL_RADIUS = 1.5
"""Initial radius of a cell's mask in cells: each map covers objects twice as large as the next
finer one."""


class ProposedQueries(NamedTuple):
    """Features, position encodings and anchors of the selected cells."""

    features: Float[Tensor, "b q c"]
    positions: Float[Tensor, "b q c"]
    anchors: Anchors


class Proposals(nn.Module):
    """Selection of the cells with the highest class scores as queries.

    The decoder's own class head scores the cells, so they need no loss of their own: the first
    prediction, from the initial queries, is matched and supervised like that of every layer.

    Args:
        dim: Number of channels of the queries.
        ratio: Number of queries per cell.
        max_queries: Largest number of queries.
    """

    def __init__(self, *, dim: int, ratio: float, max_queries: int) -> None:
        super().__init__()
        self.ratio, self.max_queries = ratio, max_queries
        self.project = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        memories: list[Float[Tensor, "b _ c"]],
        positions: list[Float[Tensor, "_ c"]],
        sizes: list[tuple[int, int]],
        head: MaskHead,
    ) -> ProposedQueries:
        """Select queries among the cells of all maps.

        Args:
            memories: Cells of each map, coarse to fine.
            positions: Position encodings of the cells.
            sizes: Height and width of each map.
            head: Prediction head, whose class scores rank the cells.
        """
        candidates = self.norm(self.project(torch.cat(memories, dim=1)))
        count = max(1, min(round(self.ratio * candidates.shape[1]), self.max_queries))
        with torch.no_grad():
            scores = head.classes(candidates).float().softmax(-1)[..., :-1].amax(-1)
            selected = demote_non_maxima(scores, sizes).topk(count, dim=1).indices
        circles = self.initial_circles(sizes, candidates.device)[selected]
        features = candidates.gather(1, selected[..., None].expand(-1, -1, candidates.shape[-1]))
        encodings = torch.cat(positions)[selected]
        extent = (sizes[-1][1] * FINEST_STRIDE, sizes[-1][0] * FINEST_STRIDE)
        anchors = Anchors(circles[..., :2], circles[..., 2], extent)
        return ProposedQueries(features, encodings, anchors)

    def initial_circles(
        self, sizes: list[tuple[int, int]], device: torch.device
    ) -> Float[Tensor, "n 3"]:
        """Return every cell's centre (x, y) and initial radius in pixels of the network's input."""
        height, width = (FINEST_STRIDE * side for side in sizes[-1])
        centres = cell_centres(tuple(sizes), device)
        radii = [centres.new_full((h * w, 1), INITIAL_RADIUS * height / h) for h, w in sizes]
        return torch.cat([centres * centres.new_tensor([width, height]), torch.cat(radii)], dim=1)
