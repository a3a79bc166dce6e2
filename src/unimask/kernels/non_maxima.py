"""Local maxima of scores on maps."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def demote_non_maxima(
    scores: Float[Tensor, "b n"], sizes: list[tuple[int, int]]
) -> Float[Tensor, "b n"]:
    """Subtract 1 from the scores of cells that have a neighbour with a higher score."""
    ranked = []
    for part, size in zip(scores.split([h * w for h, w in sizes], dim=1), sizes, strict=True):
        grid = part.unflatten(1, size)
        best = F.max_pool2d(grid, 3, stride=1, padding=1)
        ranked.append(torch.where(grid == best, grid, grid - 1).flatten(1))
    return torch.cat(ranked, dim=1)
