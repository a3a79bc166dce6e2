"""Estimate of the remaining time of a run from the measured steps and validations."""

import time
from dataclasses import dataclass, field


@dataclass(eq=False)
class RemainingTime:
    """Measured times of steps and validations, and the estimate derived from them.

    Attributes:
        steps: Number of steps of the whole run.
        every: Number of steps between validations; 0 for one at the end.
        images_per_step: Number of images per step in this process.
        images_per_validation: Number of images per validation.
        recent: Seconds of the most recent steps.
        validations: Seconds of each validation.
    """

    steps: int
    every: int
    images_per_step: int
    images_per_validation: int
    recent: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)

    def add_step(self, seconds: float) -> None:
        """Record the time of a step; slow first steps drop out later."""
        self.recent = [*self.recent[-(RECENT - 1) :], seconds]

    def add_validation(self, seconds: float) -> None:
        """Record the time of a validation."""
        self.validations.append(seconds)

    def estimate(self, step: int) -> float:
        """Estimate the remaining seconds after `step` steps.

        Before the first validation, an image is assumed to take as long as in training.
        """
        times = self.recent[1:] or self.recent
        each = sum(times) / max(1, len(times))
        if self.validations:
            validation = sum(self.validations) / len(self.validations)
        else:
            validation = each * self.images_per_validation / max(1, self.images_per_step)
        return (self.steps - step) * each + self.count_validations(step) * validation

    def count_validations(self, step: int) -> int:
        """Count the validations after `step` steps, without one at this step."""
        if step >= self.steps:
            return 0
        if not self.every:
            return 1
        regular = self.steps // self.every - step // self.every
        return regular + (self.steps % self.every > 0)

    def describe(self, step: int) -> str:
        """Describe the remaining time and the time of the end; empty after the last step."""
        if step >= self.steps:
            return ""
        seconds = self.estimate(step)
        end = time.localtime(time.time() + seconds)
        form = "%H:%M" if seconds < DAY else "%Y-%m-%d %H:%M"
        return f"{duration(seconds)} left, ends {time.strftime(form, end)}"


RECENT = 200
"""Number of most recent steps whose mean time is used."""

MINUTE, HOUR, DAY = 60, 3600, 86_400


def duration(seconds: float) -> str:
    """Format a duration in its two largest units."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return (
            f"{whole // MINUTE} min {whole % MINUTE} s" if whole < 600 else f"{whole // MINUTE} min"
        )
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"
