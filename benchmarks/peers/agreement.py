"""Agreement of the outputs of two systems of `benchmarks/peers/run.py`."""

import numpy as np

from benchmarks.peers.cases import FLOAT

Logits = tuple[np.ndarray, np.ndarray]

TYPICAL = 1e-4
"""Maximum allowed median difference of float32 logits, relative to the maximum logit."""

GREATEST = 2e-2
"""Maximum allowed difference: where rounding moves one cell across the border of an attention mask,
which happens between any two programs, a query's logits change, and others a little."""

SAME_SIDE = 0.95
"""Minimum fraction of mask pixels on the same side of the query's median as in float32.
Masks of random networks are not clear: half of each mask counts as its inside."""


def difference(one: Logits, other: Logits) -> dict[str, float]:
    """Return the median and the maximum difference of logits, relative to their maximum."""
    found = {"typical": 0.0, "greatest": 0.0}
    for a, b in zip(one, other, strict=True):
        deviation = np.abs(a - b) / np.abs(b).max()
        found["typical"] = max(found["typical"], float(np.median(deviation)))
        found["greatest"] = max(found["greatest"], float(deviation.max()))
    return found


def same_side(one: Logits, reference: Logits) -> float:
    """Return the fraction of mask pixels on the same side of the reference's median."""
    median = np.median(reference[1], axis=(-2, -1), keepdims=True)
    return float(((one[1] > median) == (reference[1] > median)).mean())


def measure_agreement(ours: Logits, theirs: Logits, reference: Logits, kind: str) -> dict:
    """Measure how far two systems agree, and whether that suffices.

    Args:
        ours: Our logits.
        theirs: The peer's.
        reference: Logits of `transformers` in float32.
        kind: "float32" compares logits; other dtypes compare the pixels of each with the reference.
    """
    if kind != FLOAT:
        shares = {"ours": same_side(ours, reference), "theirs": same_side(theirs, reference)}
        return {"same_side": shares, "good": shares["ours"] >= SAME_SIDE}
    found = difference(ours, theirs)
    good = found["typical"] <= TYPICAL and found["greatest"] <= GREATEST
    return {**found, "good": good}
