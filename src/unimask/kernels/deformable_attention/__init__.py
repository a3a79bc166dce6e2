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
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Attend to a few points per query, head and level, by the fastest path for the device.

    The meaning and the arguments are those of `deformable_attention_reference`.
    """
    # The other path calls SciPy, which no compiler can trace; exporters know `grid_sample`.
    if value.device.type == "cpu" and not torch.compiler.is_compiling():
        return deformable_attention_gather(value, shapes, centres, offsets, logits)
    return deformable_attention_reference(value, shapes, centres, offsets, logits)
