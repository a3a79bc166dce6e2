"""Weights to a predictor, and pictures to results."""

from unimask.inference.load import Dtype, load
from unimask.inference.predictor import Predictor

__all__ = ["Dtype", "Predictor", "load"]
