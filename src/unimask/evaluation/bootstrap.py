"""How sure a difference of two scores is: the paired bootstrap (Efron and Tibshirani 1993)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unimask.evaluation.pooling import Pool

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """One score of two models on the same pictures.

    Attributes:
        first: The first model's, in percent; None where it is not defined.
        second: The second model's.
        low: Lower end of the interval that holds the difference, second less first, with a
            confidence of 95 %.
        high: Upper end.
        wins: Share of the resamples in which the second is better; ties count half.
    """

    first: float | None
    second: float | None
    low: float | None
    high: float | None
    wins: float | None

    @property
    def change(self) -> float | None:
        """Second less first."""
        if self.first is None or self.second is None:
            return None
        return self.second - self.first

    @property
    def sure(self) -> bool:
        """Zero lies outside the interval."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def paired_bootstrap(
    first: Pool,
    second: Pool,
    pictures: int,
    *,
    resamples: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Difference]:
    """Compare two models on resamples of the pictures that both have seen.

    Each resample draws as many pictures as there are, with replacement, the same for both: what is
    hard for both then cancels out, and small differences can be sure. Intervals are the middle
    95 % of the differences.

    Args:
        first: Scores the first model's pictures.
        second: Scores the second's.
        pictures: How many there are.
        resamples: How many times to draw.
        seed: Of the draws.
        progress: Told after each resample.
    """
    random = np.random.default_rng(seed)
    once = np.ones(pictures, np.int64)
    whole = first(once), second(once)
    changes: dict[str, list[float]] = {name: [] for name in whole[0]}
    for done in range(resamples):
        drawn = np.bincount(random.integers(pictures, size=pictures), minlength=pictures)
        one, other = first(drawn), second(drawn)
        for name, values in changes.items():
            before, after = one[name], other[name]
            if before is not None and after is not None:
                values.append(after - before)
        if progress is not None:
            progress(done + 1, resamples)
    return {
        name: difference(whole[0][name], whole[1][name], np.array(values))
        for name, values in changes.items()
    }


def difference(first: float | None, second: float | None, changes: np.ndarray) -> Difference:
    """Describe one score."""
    if first is None or second is None or not len(changes):
        return Difference(first, second, None, None, None)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(changes, [tail, 100 - tail])
    wins = (changes > 0).mean() + (changes == 0).mean() / 2
    return Difference(first, second, float(low), float(high), float(wins))
