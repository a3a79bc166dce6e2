"""The meaning of multi-scale deformable attention (Zhu et al. 2021, eq. 3), via `grid_sample`."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def deformable_attention_reference(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Sum bilinear samples around each query, weighted, head by head; `d` is `m * c`.

    Args:
        value: Flattened maps, level after level, row-major.
        shapes: Height and width per level; their products add up to `n`.
        centres: Place (x, y) of each query from 0 to 1 over every map, from its outer edges.
        offsets: Steps (x, y) from there to the sampling points, in pixels of the level's map;
            outside the map is zero.
        logits: Their softmax over the points of all levels weighs the samples.
    """
    b, _, m, c = value.shape
    q = offsets.shape[1]
    dtype = torch.promote_types(value.dtype, centres.dtype)
    weights = logits.to(dtype).flatten(-2).softmax(-1).view(logits.shape)
    total = value.new_zeros(b * m, c, q, dtype=dtype)
    start = 0
    for level, (h, w) in enumerate(shapes):
        maps = value[:, start : start + h * w].permute(0, 2, 3, 1).reshape(b * m, c, h, w).to(dtype)
        extent = torch.tensor([w, h], device=centres.device)
        steps = offsets[:, :, :, level].to(dtype) / extent
        grid = 2 * (centres[:, None, None] + steps).transpose(1, 2).flatten(0, 1) - 1
        samples = F.grid_sample(maps, grid.to(dtype), "bilinear", "zeros", align_corners=False)
        weight = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)
        total = total + torch.einsum("ncqp,nqp->ncq", samples, weight)
        start += h * w
    return total.view(b, m * c, q).transpose(1, 2).to(value.dtype)
