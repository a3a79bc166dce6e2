"""Multi-scale deformable attention: one definition, several implementations."""

from unimask.kernels.deformable_attention.dispatch import force_implementation
from unimask.kernels.deformable_attention.layer import (
    Sampler,
    deformable_attention,
    project_points,
    value_sampler,
)
from unimask.kernels.deformable_attention.reference import deformable_attention_reference

__all__ = [
    "Sampler",
    "deformable_attention",
    "deformable_attention_reference",
    "force_implementation",
    "project_points",
    "value_sampler",
]
