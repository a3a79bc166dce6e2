"""Initial sampling points of deformable attention."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sampling_ring(num_heads: int, num_levels: int, num_points: int) -> Float[Tensor, " _"]:
    """Return offsets (x, y) of every head, level and point: one direction per head, in a ring.

    The k-th point of a head is k cells from the centre, measured along the larger axis.
    """
    angles = torch.arange(num_heads, dtype=torch.float32) * (2 * math.pi / num_heads)
    ring = torch.stack([angles.cos(), angles.sin()], dim=-1)
    ring = ring / ring.abs().amax(dim=-1, keepdim=True)
    steps = torch.arange(1, num_points + 1, dtype=torch.float32)
    offsets = ring[:, None, None, :] * steps[None, None, :, None]
    return offsets.expand(-1, num_levels, -1, -1).flatten()
