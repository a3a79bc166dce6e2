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
    # Positions and queries vary fastest from here on, so that sums of samples run along them.
    weights = weights.permute(0, 2, 3, 4, 1)
    maps = value.permute(0, 2, 3, 1).flatten(0, 1).to(dtype)
    extents = torch.tensor([(w, h) for h, w in shapes], dtype=dtype, device=centres.device)
    scales = (2 / extents)[:, None, None].expand(-1, offsets.shape[4], q, -1)
    steps = offsets.permute(0, 2, 3, 4, 1, 5).to(dtype)
    grids = steps * scales + (2 * centres.to(dtype) - 1)
    total = value.new_zeros(b * m, c, q, dtype=dtype)
    levels = maps.split([h * w for h, w in shapes], -1)
    for index, (level, (h, w)) in enumerate(zip(levels, shapes, strict=True)):
        grid, weight = grids[:, :, index].flatten(0, 1), weights[:, :, index].flatten(0, 1)
        level = level.unflatten(-1, (h, w))
        samples = F.grid_sample(level, grid, "bilinear", "zeros", align_corners=False)
        total = total + (samples * weight[:, None]).sum(2)  # exporters know no einsum
    return total.view(b, m * c, q).transpose(1, 2).to(value.dtype)
