"""Attention within (shifted) windows of a map: one definition, several implementations."""

from unimask.kernels.window_attention.geometry import relative_position_index
from unimask.kernels.window_attention.layer import window_attention

__all__ = ["relative_position_index", "window_attention"]
