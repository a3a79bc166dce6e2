"""How long a run will still take, from what its steps and validations have taken so far."""

import time
from dataclasses import dataclass, field


@dataclass(eq=False)
class RemainingTime:
    """Measures steps and validations, and estimates the rest of a run.

    Attributes:
        steps: Steps of the whole run.
        every: Steps between two validations; 0 for one at the end.
        images_per_step: Images of an update, in this process.
        images_per_validation: Images that a validation looks at.
        recent: Seconds of the steps that were measured last.
        validations: Seconds of each validation.
    """

    steps: int
    every: int
    images_per_step: int
    images_per_validation: int
    recent: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)

    def add_step(self, seconds: float) -> None:
        """Note how long a step took; the first ones are slow, and are forgotten."""
        self.recent = [*self.recent[-(RECENT - 1) :], seconds]

    def add_validation(self, seconds: float) -> None:
        """Note how long a validation took."""
        self.validations.append(seconds)

    def estimate(self, step: int) -> float:
        """Return the seconds that remain after `step` steps.

        A validation that was not measured yet is taken to need as long for an image as a step.
        """
        known = self.recent[1:] or self.recent
        each = sum(known) / max(1, len(known))
        if self.validations:
            validation = sum(self.validations) / len(self.validations)
        else:
            validation = each * self.images_per_validation / max(1, self.images_per_step)
        return (self.steps - step) * each + self.count_validations(step) * validation

    def count_validations(self, step: int) -> int:
        """Count the validations after `step` steps; the one of this step is over."""
        if step >= self.steps:
            return 0
        if not self.every:
            return 1
        regular = self.steps // self.every - step // self.every
        return regular + (self.steps % self.every > 0)

    def describe(self, step: int) -> str:
        """Describe how long the run still takes, and when it ends; empty at the end."""
        if step >= self.steps:
            return ""
        seconds = self.estimate(step)
        end = time.localtime(time.time() + seconds)
        form = "%H:%M" if seconds < DAY else "%Y-%m-%d %H:%M"
        return f"{duration(seconds)} left, ends {time.strftime(form, end)}"


RECENT = 200
"""Steps whose mean is taken for those to come."""

MINUTE, HOUR, DAY = 60, 3600, 86_400


def duration(seconds: float) -> str:
    """Return a duration in its two greatest units."""
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
