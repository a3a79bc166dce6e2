"""Confidence intervals of score differences: the paired bootstrap (Efron and Tibshirani 1993)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unimask.evaluation.pooling import Pool

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """One score of two models on the same images.

    Attributes:
        first: Score of the first model in percent; None if undefined.
        second: Score of the second model in percent; None if undefined.
        low: Lower limit of the 95 % confidence interval of the difference (second minus first).
        high: Upper limit of that interval.
        win_rate: Fraction of resamples in which the second model is better; ties count half.
    """

    first: float | None
    second: float | None
    low: float | None
    high: float | None
    win_rate: float | None

    @property
    def change(self) -> float | None:
        """Second score minus first."""
        if self.first is None or self.second is None:
            return None
        return self.second - self.first

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def paired_bootstrap(
    first: Pool,
    second: Pool,
    num_images: int,
    *,
    resamples: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Difference]:
    """Compare two models on resamples of the images that both were scored on.

    Each resample draws as many images as there are, with replacement and the same for both models:
    variation between images then cancels out, so that small differences can be significant.
    Intervals are the middle 95 % of the differences.

    Args:
        first: Function from numbers of occurrences of images to the first model's scores.
        second: The same function for the second model.
        num_images: Number of images.
        resamples: Number of resamples.
        seed: Seed of the random draws.
        progress: Function that is called after each resample.
    """
    random = np.random.default_rng(seed)
    once = np.ones(num_images, np.int64)
    scores = first(once), second(once)
    changes: dict[str, list[float]] = {name: [] for name in scores[0]}
    for done in range(resamples):
        occurrences = np.bincount(
            random.integers(num_images, size=num_images), minlength=num_images
        )
        one, other = first(occurrences), second(occurrences)
        for name, values in changes.items():
            before, after = one[name], other[name]
            if before is not None and after is not None:
                values.append(after - before)
        if progress is not None:
            progress(done + 1, resamples)
    return {
        name: summarise_difference(scores[0][name], scores[1][name], np.array(values))
        for name, values in changes.items()
    }


def summarise_difference(
    first: float | None, second: float | None, changes: np.ndarray
) -> Difference:
    """Summarise one score and its resampled differences."""
    if first is None or second is None or not len(changes):
        return Difference(first, second, None, None, None)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(changes, [tail, 100 - tail])
    win_rate = (changes > 0).mean() + (changes == 0).mean() / 2
    return Difference(first, second, float(low), float(high), float(win_rate))
