"""Pictures to tensors, and logits to segments: pure functions."""

from unimask.processing.postprocess import postprocess

__all__ = ["postprocess"]
