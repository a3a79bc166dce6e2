"""Loading of weights into predictors, and prediction."""

from unimask.inference.load import Dtype, load
from unimask.inference.predictor import Predictor

__all__ = ["Dtype", "Predictor", "load"]
