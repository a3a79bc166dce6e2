"""Sine position maps."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

LOCAL_WAVE, LOCAL_RANGE = 64, 16
"""Positions in pixels: the shortest wave, two cells of the coarsest map; longest over shortest."""


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def sine_positions(
    size: tuple[int, int],
    dim: int,
    device: torch.device,
    dtype: torch.dtype,
    wave: float | None = None,
) -> Float[Tensor, "c h w"]:
    """Encode each cell of a map by sines of its row, then of its column (DETR, appendix A.4).

    Rows and columns count from 1 and are scaled so that the last lies at 2 pi: the code
    depends on the size of the (padded) map. With `wave` it depends on the distance from the top
    left alone, and two cells of any picture differ by as much as two of a training square.
    Maps of one size are computed once and shared, so the result must not be changed in place.

    Args:
        size: Height and width of the map.
        dim: Channels; half for rows, half for columns, sine and cosine in turn.
        device: Where the map is kept.
        dtype: Type of the result; the arithmetic is float32.
        wave: Cells of the shortest wave; the longest is 16 times as long. None: the size of the
            map, and 10000 times that.
    """
    h, w = size
    half = dim // 2
    index = torch.arange(half, device=device, dtype=torch.float32)
    longest = 10000 if wave is None else LOCAL_RANGE
    periods = longest ** (2 * torch.div(index, 2, rounding_mode="floor") / half)
    rows = interleaved_waves(h, periods, wave)[:, None, :].expand(h, w, half)
    columns = interleaved_waves(w, periods, wave)[None, :, :].expand(h, w, half)
    return torch.cat([rows, columns], dim=-1).permute(2, 0, 1).to(dtype).contiguous()


def interleaved_waves(
    length: int, periods: Float[Tensor, " c"], wave: float | None
) -> Float[Tensor, "n c"]:
    """Give sine and cosine in turn at positions 1..length, of which `wave` are 2 pi."""
    steps = torch.arange(1, length + 1, device=periods.device, dtype=torch.float32)
    turn = length + 1e-6 if wave is None else wave
    angles = (steps / turn * (2 * math.pi))[:, None] / periods
    return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(1)


def level_positions(
    sizes: list[tuple[int, int]], dim: int, like: Tensor, *, local: bool
) -> list[Float[Tensor, "_ c"]]:
    """Give the codes of the maps' cells, row by row.

    Args:
        sizes: Height and width of the maps at strides 32, 16 and 8.
        dim: Channels.
        like: A tensor of the wanted device and type.
        local: Measure positions in pixels instead of in shares of the picture.
    """
    strides = [2 ** (len(sizes) + 2 - level) for level in range(len(sizes))]
    waves = [LOCAL_WAVE / stride if local else None for stride in strides]
    codes = [
        sine_positions(size, dim, like.device, like.dtype, wave)
        for size, wave in zip(sizes, waves, strict=True)
    ]
    return [code.flatten(1).transpose(0, 1) for code in codes]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def cell_centres(shapes: tuple[tuple[int, int], ...], device: torch.device) -> Float[Tensor, "n 2"]:
    """Give the centre (x, y) of every cell of every map, from 0 to 1."""
    centres = []
    for h, w in shapes:
        y = (torch.arange(h, device=device, dtype=torch.float32) + 0.5) / h
        x = (torch.arange(w, device=device, dtype=torch.float32) + 0.5) / w
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        centres.append(torch.stack([columns.flatten(), rows.flatten()], dim=-1))
    return torch.cat(centres)
