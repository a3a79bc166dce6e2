"""Which detections are right, by COCO's rule (`pycocotools/cocoeval.py`, `evaluateImg`)."""

import numpy as np
from jaxtyping import Bool, Float

Flags = Bool[np.ndarray, "p a n"]

CERTAIN = 1 - 1e-10
"""An IoU of one is reached by fractions that rounding left just below."""


def match_detections(
    ious: Float[np.ndarray, "p t"],
    ignored: Bool[np.ndarray, "a t"],
    crowds: Bool[np.ndarray, " t"],
    thresholds: Float[np.ndarray, " n"],
) -> tuple[Flags, Flags]:
    """Match the detections of one class in one picture, the surest first.

    Each takes the free object that it overlaps most, if its IoU reaches the threshold; an object
    that is ignored only where no other can be had. Crowds are never used up. Of equal IoUs the
    later object wins, as in COCO's code.

    Args:
        ious: Of detections, in the order of falling scores, and true objects.
        ignored: Objects that do not count, per range of areas.
        crowds: Objects that stand for many.
        thresholds: Least IoUs of a match.

    Returns:
        Per detection, range of areas and threshold: whether it is matched, and whether the object
        that it is matched to is ignored.
    """
    shape = (len(ious), len(ignored), len(thresholds))
    matched, excused = np.zeros(shape, bool), np.zeros(shape, bool)
    least = np.minimum(thresholds, CERTAIN)
    free = np.ones((*shape[1:], len(crowds)), bool)
    places = np.indices(shape[1:])
    # The last of the best is the first of them seen from behind.
    ious, ignored, crowds = ious[:, ::-1], ignored[:, ::-1], crowds[::-1]
    hopeful = np.flatnonzero(ious.max(1, initial=0.0) >= least.min())
    for row in hopeful.tolist():
        near = np.flatnonzero(ious[row] >= least.min())
        reached = (ious[row, near] >= least[:, None]) & free[..., near]
        # Any object that counts is worth more than all that do not.
        ranks = np.unique(ious[row, near], return_inverse=True)[1]
        worth = np.where(reached, ranks + len(near) * ~ignored[:, None, near], -1)
        best = worth.argmax(-1)
        found = worth.max(-1) >= 0
        chosen = near[best]
        matched[row] = found
        excused[row] = found & ignored[places[0], chosen]
        free[(*places, chosen)] &= ~found | crowds[chosen]
    return matched, excused
