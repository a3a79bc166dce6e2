"""Definition of multi-scale deformable attention (Zhu et al. 2021, eq. 3), by `grid_sample`."""

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
    """Sum weighted bilinear samples around each query for every head; `d` is `m * c`.

    Args:
        value: Values of all heads, maps flattened row by row, level after level.
        shapes: Height and width of each level; their products add up to `n`.
        centres: Centre (x, y) of each query relative to every map: 0 to 1 from edge to edge.
        offsets: Offsets (x, y) of the sampling points from the centre, in pixels of the level's
            map; samples outside the map are zero.
        logits: Attention logits; their softmax over the points of all levels weights the samples.
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
        total = total + (samples * weight[:, None]).sum(-1)  # exporters know no einsum
        start += h * w
    return total.view(b, m * c, q).transpose(1, 2).to(value.dtype)
