"""Modulated deformable convolution (Zhu et al. 2019, eq. 1) on PyTorch's own sampling."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def deformable_convolution(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "d c i j"],
    offsets: Float[Tensor, "b m p 2 h w"],
    modulation: Float[Tensor, "b m p h w"],
) -> Float[Tensor, "b d h w"]:
    """Convolve with taps that are moved and weighted anew at every place.

    One tap after the other: all samples at once would take as many maps as there are taps. The
    sampling is float32 at least, as half precision cannot tell the pixels of a large map apart.

    Args:
        x: The map; zero outside.
        weight: One matrix per tap, i rows of j taps, both odd.
        offsets: (x, y) in pixels that each tap is moved by, per group of channels.
        modulation: Weight of each tap, per group of channels.
    """
    b, c, h, w = x.shape
    groups, (rows, columns) = offsets.shape[1], weight.shape[2:]
    dtype = torch.promote_types(x.dtype, torch.float32)
    maps = x.to(dtype).reshape(b * groups, c // groups, h, w)
    across = torch.arange(w, device=x.device, dtype=dtype)
    down = torch.arange(h, device=x.device, dtype=dtype)[:, None]
    total = x.new_zeros(())
    for tap in range(rows * columns):
        row, column = divmod(tap, columns)
        moved = offsets[:, :, tap].to(dtype)
        place_x = moved[:, :, 0] + across + (column - columns // 2)
        place_y = moved[:, :, 1] + down + (row - rows // 2)
        grid = torch.stack([(2 * place_x + 1) / w - 1, (2 * place_y + 1) / h - 1], dim=-1)
        samples = F.grid_sample(maps, grid.flatten(0, 1), "bilinear", "zeros", align_corners=False)
        samples = samples * modulation[:, :, tap].to(dtype).flatten(0, 1)[:, None]
        matrix = weight[:, :, row, column, None, None]
        total = total + F.conv2d(samples.view(b, c, h, w).to(x.dtype), matrix)
    return total
