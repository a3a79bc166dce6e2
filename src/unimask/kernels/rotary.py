"""Rotary positions of patches in two dimensions (DINOv3, Siméoni et al. 2025, 3.2)."""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class RotaryPositions(NamedTuple):
    """Cosine and sine of each patch's angles, one per channel of a head."""

    cosine: Float[Tensor, "n c"]
    sine: Float[Tensor, "n c"]

    def rotate(self, x: Float[Tensor, "b h t c"]) -> Float[Tensor, "b h t c"]:
        """Rotate queries or keys of patches, which are the last tokens; the others stay."""
        tokens, patches = x[..., : -len(self.sine), :], x[..., -len(self.sine) :, :]
        first, second = patches.chunk(2, dim=-1)
        quarter_turn = torch.cat([-second, first], dim=-1)
        return torch.cat([tokens, patches * self.cosine + quarter_turn * self.sine], dim=-2)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def rotary_positions(
    grid: tuple[int, int],
    channels: int,
    base: float,
    scale: float,
    device: torch.device,
    dtype: torch.dtype,
) -> RotaryPositions:
    """Compute the positions of the centres of patches; rows and columns run from -1 to 1.

    Results are cached by arguments and shared: do not modify them in place.

    Args:
        grid: Number of rows and columns of patches.
        channels: Number of channels of a head, a multiple of 4.
        base: Base of the frequencies.
        scale: Factor by which positions are multiplied.
        device: Device of the result.
        dtype: Dtype of the result; the arithmetic is float32.
    """
    rows, columns = (2 * torch.arange(0.5, side, device=device) / side - 1 for side in grid)
    centres = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)
    frequencies = base ** -torch.arange(0, 1, 4 / channels, device=device)
    angles = (2 * math.pi * scale * centres[:, :, None] * frequencies).flatten(1).tile(2)
    return RotaryPositions(angles.cos().to(dtype), angles.sin().to(dtype))
