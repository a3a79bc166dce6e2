"""Matching of detections to ground truth as in COCO (`pycocotools/cocoeval.py`, `evaluateImg`)."""

import numpy as np
from jaxtyping import Bool, Float

Flags = Bool[np.ndarray, "p a n"]

CERTAIN = 1 - 1e-10
"""Threshold 1 minus a tolerance, because rounding can leave a perfect IoU slightly below 1."""


def match_detections(
    ious: Float[np.ndarray, "p t"],
    ignored: Bool[np.ndarray, "a t"],
    crowds: Bool[np.ndarray, " t"],
    thresholds: Float[np.ndarray, " n"],
) -> tuple[Flags, Flags]:
    """Match the detections of one class in one image, by descending score.

    Each takes the unmatched object with the highest IoU, if that reaches the threshold, and an
    ignored object only if no other is available. Crowds can be matched repeatedly. Among equal IoUs
    the later object wins, as in COCO's code.

    Args:
        ious: IoU of each detection, by descending score, with each ground-truth object.
        ignored: Objects that do not count, per range of areas.
        crowds: Regions that stand for several objects.
        thresholds: Minimum IoUs of a match.

    Returns:
        For each detection, range of areas and threshold: whether it is matched, and whether it is
        matched to an ignored object.
    """
    shape = (len(ious), len(ignored), len(thresholds))
    matched, excused = np.zeros(shape, bool), np.zeros(shape, bool)
    least = np.minimum(thresholds, CERTAIN)
    free = np.ones((*shape[1:], len(crowds)), bool)
    places = np.indices(shape[1:])
    # `argmax` returns the first maximum; in reversed order that is the last one.
    ious, ignored, crowds = ious[:, ::-1], ignored[:, ::-1], crowds[::-1]
    hopeful = np.flatnonzero(ious.max(1, initial=0.0) >= least.min())
    for row in hopeful.tolist():
        near = np.flatnonzero(ious[row] >= least.min())
        reached = (ious[row, near] >= least[:, None]) & free[..., near]
        # Any object that counts ranks above all ignored ones.
        ranks = np.unique(ious[row, near], return_inverse=True)[1]
        worth = np.where(reached, ranks + len(near) * ~ignored[:, None, near], -1)
        best = worth.argmax(-1)
        has_match = worth.max(-1) >= 0
        chosen = near[best]
        matched[row] = has_match
        excused[row] = has_match & ignored[places[0], chosen]
        free[(*places, chosen)] &= ~has_match | crowds[chosen]
    return matched, excused
