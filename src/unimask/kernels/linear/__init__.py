"""Linear layers: one definition, several implementations."""

from unimask.kernels.linear.autograd import compute_dtype, uses_custom_autograd
from unimask.kernels.linear.cache import cached_for_weights, drop_cached
from unimask.kernels.linear.layers import (
    joint_projections,
    linear,
    linear_function,
    norm_linear,
    product,
    product_of_sum,
)
from unimask.kernels.linear.prepacked import Activation, can_prepack

__all__ = [
    "Activation",
    "cached_for_weights",
    "can_prepack",
    "compute_dtype",
    "drop_cached",
    "joint_projections",
    "linear",
    "linear_function",
    "norm_linear",
    "product",
    "product_of_sum",
    "uses_custom_autograd",
]
