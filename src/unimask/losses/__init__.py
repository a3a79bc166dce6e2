"""How wrong a prediction is: matching, and the losses of matched masks and classes."""

from unimask.losses.criterion import Criterion, Losses
from unimask.losses.matcher import HungarianMatcher

__all__ = ["Criterion", "HungarianMatcher", "Losses"]
