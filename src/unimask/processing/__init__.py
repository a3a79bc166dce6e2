"""Preprocessing of images and post-processing of logits, as pure functions."""

from unimask.processing.postprocess import postprocess

__all__ = ["postprocess"]
