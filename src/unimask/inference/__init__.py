"""Loading of weights into predictors, and prediction."""

from unimask.inference.augmentation import Augmentations
from unimask.inference.load import Dtype, load
from unimask.inference.predictor import Predictor

__all__ = ["Augmentations", "Dtype", "Predictor", "load"]
