"""Neighborhood attention: one definition, several implementations."""

from unimask.kernels.neighborhood_attention.reference import neighborhood_attention_reference
from unimask.kernels.neighborhood_attention.tiles import neighborhood_attention_tiles

__all__ = [
    "neighborhood_attention",
    "neighborhood_attention_reference",
    "neighborhood_attention_tiles",
]

neighborhood_attention = neighborhood_attention_tiles
"""The fastest implementation; `neighborhood_attention_reference` defines result and arguments."""
