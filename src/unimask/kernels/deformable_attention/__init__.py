"""Multi-scale deformable attention: one meaning, several implementations."""

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.deformable_attention.gather import deformable_attention_gather
from unimask.kernels.deformable_attention.reference import deformable_attention_reference

__all__ = [
    "deformable_attention",
    "deformable_attention_gather",
    "deformable_attention_reference",
]


def deformable_attention(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    locations: Float[Tensor, "b q m l p 2"],
    weights: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Attend to a few points per query, head and level, by the fastest path for the device.

    The meaning and the arguments are those of `deformable_attention_reference`.
    """
    # Its gradient scatters row by row, several times slower than that of grid_sample.
    learning = torch.is_grad_enabled() and (value.requires_grad or weights.requires_grad)
    if value.device.type == "cpu" and value.dtype == weights.dtype and not learning:
        return deformable_attention_gather(value, shapes, locations, weights)
    return deformable_attention_reference(value, shapes, locations, weights)
