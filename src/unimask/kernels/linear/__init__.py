"""Linear layers that many calls share: one meaning, several implementations."""

from unimask.kernels.linear.kept import forget, kept
from unimask.kernels.linear.learning import arithmetic, learns
from unimask.kernels.linear.packed import Activation, packs
from unimask.kernels.linear.ready import ready_layer, ready_linear, ready_linear_of_sum

__all__ = [
    "Activation",
    "arithmetic",
    "forget",
    "kept",
    "learns",
    "packs",
    "ready_layer",
    "ready_linear",
    "ready_linear_of_sum",
]
