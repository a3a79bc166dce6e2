"""The meaning of multi-scale deformable attention (Zhu et al. 2021, eq. 3), via `grid_sample`."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def deformable_attention_reference(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    locations: Float[Tensor, "b q m l p 2"],
    weights: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Sum bilinear samples of every level, weighted, head by head; `d` is `m * c`.

    Args:
        value: Flattened maps, level after level, row-major.
        shapes: Height and width per level; their products add up to `n`.
        locations: Sampling points (x, y) from 0 to 1 over each map, from its outer edges;
            outside is zero.
        weights: Attention per point.
    """
    b, _, m, c = value.shape
    q = locations.shape[1]
    dtype = torch.promote_types(value.dtype, locations.dtype)
    grids = 2 * locations.to(dtype) - 1
    total = value.new_zeros(b * m, c, q, dtype=dtype)
    start = 0
    for level, (h, w) in enumerate(shapes):
        maps = value[:, start : start + h * w].permute(0, 2, 3, 1).reshape(b * m, c, h, w).to(dtype)
        grid = grids[:, :, :, level].transpose(1, 2).flatten(0, 1)
        samples = F.grid_sample(maps, grid, "bilinear", "zeros", align_corners=False)
        weight = weights[:, :, :, level].transpose(1, 2).flatten(0, 1).to(dtype)
        total = total + torch.einsum("ncqp,nqp->ncq", samples, weight)
        start += h * w
    return total.view(b, m * c, q).transpose(1, 2).to(value.dtype)
