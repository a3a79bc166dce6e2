"""Attention within windows of a map: one meaning, several implementations."""

from unimask.kernels.window_attention.bands import Band, bands_in_cache
from unimask.kernels.window_attention.learning import Parameters, learn_window_attention
from unimask.kernels.window_attention.mixing import mix
from unimask.kernels.window_attention.windows import cut, join, strangers_of

__all__ = [
    "Band",
    "Parameters",
    "bands_in_cache",
    "cut",
    "join",
    "learn_window_attention",
    "mix",
    "strangers_of",
]
