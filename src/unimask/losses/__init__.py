"""Training losses: matching, and the losses of matched masks and classes."""

from unimask.losses.box_criterion import BoxCriterion, BoxLosses
from unimask.losses.build import build_criterion
from unimask.losses.criterion import Criterion
from unimask.losses.dense import DenseCriterion
from unimask.losses.matched import Losses
from unimask.losses.matcher import HungarianMatcher
from unimask.losses.per_pixel import PixelCriterion

__all__ = [
    "BoxCriterion",
    "BoxLosses",
    "Criterion",
    "DenseCriterion",
    "HungarianMatcher",
    "Losses",
    "PixelCriterion",
    "build_criterion",
]
