"""Whether two systems of `benchmarks/peers/run.py` gave the same output."""

import numpy as np

from benchmarks.peers.cases import HALF

Logits = tuple[np.ndarray, np.ndarray]

TYPICAL = 1e-4
"""Median difference of float32 logits, of the greatest logit, at most."""

GREATEST = 2e-2
"""Greatest difference: where rounding moves one cell across the border of an attention mask, which
happens between two runs of any two programs, it moves a query's logits, and others a little."""

SAME_SIDE = 0.95
"""Least share of mask pixels, of bfloat16 against float32, on the same side of the query's median.
Random networks decide nothing clearly: half of each mask is taken for its inside."""


def difference(one: Logits, other: Logits) -> dict[str, float]:
    """Give the median and the greatest difference of logits, of the greatest of their kind."""
    found = {"typical": 0.0, "greatest": 0.0}
    for a, b in zip(one, other, strict=True):
        apart = np.abs(a - b) / np.abs(b).max()
        found["typical"] = max(found["typical"], float(np.median(apart)))
        found["greatest"] = max(found["greatest"], float(apart.max()))
    return found


def same_side(one: Logits, reference: Logits) -> float:
    """Give the share of mask pixels that lie on the same side of the reference's median."""
    median = np.median(reference[1], axis=(-2, -1), keepdims=True)
    return float(((one[1] > median) == (reference[1] > median)).mean())


def judge(ours: Logits, theirs: Logits, reference: Logits, kind: str) -> dict:
    """Say how far two systems agree, and whether that suffices.

    Args:
        ours: Our logits.
        theirs: The peer's.
        reference: Those of `transformers` in float32.
        kind: float32: logits are compared; bfloat16: pixels, of each with the reference.
    """
    if kind == HALF:
        shares = {"ours": same_side(ours, reference), "theirs": same_side(theirs, reference)}
        return {"same_side": shares, "good": shares["ours"] >= SAME_SIDE}
    found = difference(ours, theirs)
    good = found["typical"] <= TYPICAL and found["greatest"] <= GREATEST
    return {**found, "good": good}
