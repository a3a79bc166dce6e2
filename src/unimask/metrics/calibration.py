"""Calibration of confidences (Guo et al. 2017): whether 80 of 100 predictions at 0.8 are right."""

import numpy as np
from jaxtyping import Bool, Float

NUM_BINS = 15
"""Number of bins of equal width, as in the paper."""


class CalibrationError:
    """Expected and maximum calibration error, of which only sums per bin are stored.

    Predictions are grouped by confidence into bins of equal width. The error of a bin is the
    difference between its mean confidence and the fraction of correct predictions. The expected
    error (ECE) is the mean over bins weighted by their counts, the maximum error (MCE) the largest.

    Args:
        num_bins: Number of bins.
    """

    def __init__(self, num_bins: int = NUM_BINS) -> None:
        self.num_bins = num_bins
        self.counts = np.zeros(num_bins, np.int64)
        self.correct = np.zeros(num_bins, np.int64)
        self.confidence = np.zeros(num_bins)

    def update(self, confidences: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> None:
        """Add predictions.

        Args:
            confidences: Confidences from 0 to 1. A bin includes its lower limit; the last one
                includes 1 too.
            correct: Whether each prediction is correct.
        """
        bins = np.minimum((confidences * self.num_bins).astype(np.int32), self.num_bins - 1)
        self.counts += np.bincount(bins, minlength=self.num_bins)
        self.correct += np.bincount(bins[correct], minlength=self.num_bins)
        self.confidence += np.bincount(bins, confidences, self.num_bins)

    @property
    def accuracies(self) -> Float[np.ndarray, " b"]:
        """Fraction of correct predictions in each bin; NaN for empty ones."""
        return self.divide_by_counts(self.correct)

    @property
    def mean_confidences(self) -> Float[np.ndarray, " b"]:
        """Mean confidence in each bin; NaN for empty ones."""
        return self.divide_by_counts(self.confidence)

    def divide_by_counts(self, sums: np.ndarray) -> Float[np.ndarray, " b"]:
        """Divide sums per bin by the counts; NaN for empty bins."""
        means = np.full(self.num_bins, np.nan)
        return np.divide(sums, self.counts, out=means, where=self.counts > 0)

    def compute(self) -> dict[str, float | None]:
        """Return ECE and MCE in percent; None without predictions."""
        if not self.counts.any():
            return {"ECE": None, "MCE": None}
        errors = np.abs(self.accuracies - self.mean_confidences)
        expected = np.nansum(errors * self.counts) / self.counts.sum()
        return {"ECE": 100 * float(expected), "MCE": 100 * float(np.nanmax(errors))}
