"""Learning rate schedule."""

import math

from unimask.training.settings import TrainingSettings


def rate_at(step: int, settings: TrainingSettings) -> float:
    """Compute the learning rate of a step (from 0) as a share of the peak rate."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    progress = min(step / settings.steps, 1.0)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if settings.schedule == "poly":
        return (1 - progress) ** 0.9
    return 0.1 ** ((progress >= 8 / 9) + (progress >= 26 / 27))
