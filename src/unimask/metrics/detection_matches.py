"""Matching of detections to ground truth as in COCO (`pycocotools/cocoeval.py`, `evaluateImg`)."""

import numpy as np
from jaxtyping import Bool, Float

Flags = Bool[np.ndarray, "p a n"]

MAX_THRESHOLD = 1 - 1e-10
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
    matched, ignored_matches = np.zeros(shape, bool), np.zeros(shape, bool)
    min_ious = np.minimum(thresholds, MAX_THRESHOLD)
    available = np.ones((*shape[1:], len(crowds)), bool)
    indices = np.indices(shape[1:])
    # `argmax` returns the first maximum; in reversed order that is the last one.
    ious, ignored, crowds = ious[:, ::-1], ignored[:, ::-1], crowds[::-1]
    candidates = np.flatnonzero(ious.max(1, initial=0.0) >= min_ious.min())
    for row in candidates.tolist():
        near = np.flatnonzero(ious[row] >= min_ious.min())
        reached = (ious[row, near] >= min_ious[:, None]) & available[..., near]
        # Any object that counts ranks above all ignored ones.
        ranks = np.unique(ious[row, near], return_inverse=True)[1]
        ranked = np.where(reached, ranks + len(near) * ~ignored[:, None, near], -1)
        best = ranked.argmax(-1)
        has_match = ranked.max(-1) >= 0
        matches = near[best]
        matched[row] = has_match
        ignored_matches[row] = has_match & ignored[indices[0], matches]
        available[(*indices, matches)] &= ~has_match | crowds[matches]
    return matched, ignored_matches
