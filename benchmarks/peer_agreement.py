"""Whether two systems of `benchmarks/peers.py` gave the same output."""

import numpy as np
from peer_cases import HALF

Logits = tuple[np.ndarray, np.ndarray]

CLOSE = 1e-4
"""Greatest difference of float32 logits, of the greatest logit: ours and `transformers`'."""

CONVERTED_CLOSE = 2e-2
"""The same for programs that were converted: they round differently, and where that moves one
cell across the border of an attention mask, it moves logits."""

SAME_SIDE = 0.95
"""Least share of mask pixels, of bfloat16 against float32, on the same side of the query's median.
Random networks decide nothing clearly: half of each mask is taken for its inside."""


def difference(one: Logits, other: Logits) -> float:
    """Give the greatest difference of class or mask logits, of the greatest logit of its kind."""
    pairs = zip(one, other, strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def same_side(one: Logits, reference: Logits) -> float:
    """Give the share of mask pixels that lie on the same side of the reference's median."""
    median = np.median(reference[1], axis=(-2, -1), keepdims=True)
    return float(((one[1] > median) == (reference[1] > median)).mean())


def judge(ours: Logits, theirs: Logits, reference: Logits, peer: str, kind: str) -> dict:
    """Say how far two systems agree, and whether that suffices.

    Args:
        ours: Our logits.
        theirs: The peer's.
        reference: Those of `transformers` in float32.
        peer: Who it is.
        kind: float32: logits are compared; bfloat16: pixels, of each with the reference.
    """
    if kind == HALF:
        shares = {"ours": same_side(ours, reference), "theirs": same_side(theirs, reference)}
        return {"same_side": shares, "good": shares["ours"] >= SAME_SIDE}
    close = CLOSE if peer in ("transformers", "torch.compile") else CONVERTED_CLOSE
    found = {
        "ours_to_theirs": difference(ours, theirs),
        "ours_to_reference": difference(ours, reference),
        "theirs_to_reference": difference(theirs, reference),
    }
    good = found["ours_to_theirs"] <= close and found["ours_to_reference"] <= CLOSE
    return {**found, "at_most": close, "good": good}
