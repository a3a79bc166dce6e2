"""Training: one short loop, a folder that survives, and what to print meanwhile."""

from unimask.training.settings import TrainingSettings
from unimask.training.train import Run, train

__all__ = ["Run", "TrainingSettings", "train"]
