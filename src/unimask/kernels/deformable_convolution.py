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
    """Convolve with taps whose offsets and weights vary from pixel to pixel.

    Taps are processed one after another: all samples at once would take one map per tap. Sampling
    is float32 or wider, as half precision cannot resolve the pixels of a large map.

    Args:
        x: Maps; zero outside.
        weight: Weight of the convolution, i rows of j taps, both odd.
        offsets: Offset (x, y) of each tap in pixels, per group of channels.
        modulation: Factor of each tap, per group of channels.
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
        offset = offsets[:, :, tap].to(dtype)
        x_position = offset[:, :, 0] + across + (column - columns // 2)
        y_position = offset[:, :, 1] + down + (row - rows // 2)
        grid = torch.stack([(2 * x_position + 1) / w - 1, (2 * y_position + 1) / h - 1], dim=-1)
        samples = F.grid_sample(maps, grid.flatten(0, 1), "bilinear", "zeros", align_corners=False)
        samples = samples * modulation[:, :, tap].to(dtype).flatten(0, 1)[:, None]
        matrix = weight[:, :, row, column, None, None]
        total = total + F.conv2d(samples.view(b, c, h, w).to(x.dtype), matrix)
    return total
