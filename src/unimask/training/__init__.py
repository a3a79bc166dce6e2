"""Training: the loop, the folder of a run, and its logs."""

from unimask.training.settings import TrainingSettings
from unimask.training.train import Run, train

__all__ = ["Run", "TrainingSettings", "train"]
