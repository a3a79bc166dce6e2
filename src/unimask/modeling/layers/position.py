"""Sine position maps."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor


@lru_cache(maxsize=64)
def sine_positions(
    size: tuple[int, int], dim: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "c h w"]:
    """Encode each cell of a map by sines of its row, then of its column (DETR, appendix A.4).

    Rows and columns count from 1 and are scaled so that the last lies at 2 pi: the code
    depends on the size of the (padded) map. Maps of one size are computed once and shared,
    so the result must not be changed in place.

    Args:
        size: Height and width of the map.
        dim: Channels; half for rows, half for columns, sine and cosine in turn.
        device: Where the map is kept.
        dtype: Type of the result; the arithmetic is float32.
    """
    h, w = size
    half = dim // 2
    index = torch.arange(half, device=device, dtype=torch.float32)
    periods = 10000 ** (2 * torch.div(index, 2, rounding_mode="floor") / half)
    rows = interleaved_waves(h, periods)[:, None, :].expand(h, w, half)
    columns = interleaved_waves(w, periods)[None, :, :].expand(h, w, half)
    return torch.cat([rows, columns], dim=-1).permute(2, 0, 1).to(dtype).contiguous()


def interleaved_waves(length: int, periods: Float[Tensor, " c"]) -> Float[Tensor, "n c"]:
    """Give sine and cosine in turn at positions 1..length, scaled to 2 pi."""
    steps = torch.arange(1, length + 1, device=periods.device, dtype=torch.float32)
    angles = (steps / (length + 1e-6) * (2 * math.pi))[:, None] / periods
    return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(1)
