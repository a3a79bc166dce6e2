"""Assignment of observations to tracks by overlap, motion, embeddings and classes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from unimask.tracking.settings import TrackerSettings
from unimask.tracking.track import Observation, Track

MAX_DISTANCE = 3.0
"""Largest distance of a match without overlap from the predicted position, in standard deviations.
"""

MIN_IOU = 0.1
"""Smallest IoU of a match that is farther away than that."""

MIN_IOU_OTHER_CLASS = 0.5
"""Smallest IoU of a match between different classes, which networks confuse on one object."""

CLASS_COST = 0.2
"""Cost added to a match between different classes."""

IMPOSSIBLE = 1e6
"""Cost of pairs that must not be matched."""


def assign(
    tracks: Sequence[Track],
    observations: Sequence[Observation],
    settings: TrackerSettings,
    factor: int,
) -> list[tuple[int, int]]:
    """Match each track to at most one observation so that the sum of costs is minimal.

    Args:
        tracks: Tracks, moved to the present.
        observations: Objects of the present result.
        settings: Weights.
        factor: Factor by which masks are subsampled.

    Returns:
        Pairs of the index of a track and the index of an observation.
    """
    if not tracks or not observations:
        return []
    # Imported here because it takes long, and only tracking needs it.
    from scipy.optimize import linear_sum_assignment

    costs = cost_matrix(tracks, observations, settings, factor)
    rows, columns = linear_sum_assignment(costs)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if costs[row, column] < IMPOSSIBLE]


def cost_matrix(
    tracks: Sequence[Track],
    observations: Sequence[Observation],
    settings: TrackerSettings,
    factor: int,
) -> Float[np.ndarray, "t n"]:
    """Compute the cost of each pair, from 0 to 1; `IMPOSSIBLE` for pairs out of reach."""
    ious = predicted_ious(tracks, observations, factor)
    distances = motion_distances(tracks, observations)
    similar, known = similarities(tracks, observations)
    embedding_weight = settings.embedding_weight * known
    total = settings.overlap_weight + settings.motion_weight + embedding_weight
    affinity = (
        settings.overlap_weight * ious
        + settings.motion_weight * np.exp(-distances / 2)
        + embedding_weight * similar
    ) / total
    other_class = np.array(
        [[track.label_id != item.label_id for item in observations] for track in tracks]
    )
    costs = 1 - affinity + CLASS_COST * other_class
    within_reach = (distances <= MAX_DISTANCE**2) | (ious >= MIN_IOU)
    within_reach &= ~other_class | (ious >= MIN_IOU_OTHER_CLASS)
    return np.where(within_reach, costs, IMPOSSIBLE)


def predicted_ious(
    tracks: Sequence[Track], observations: Sequence[Observation], factor: int
) -> Float[np.ndarray, "t n"]:
    """Compute the IoU of each track's last mask, moved to its predicted place, with each mask."""
    shifts = np.rint(np.array([track.shift for track in tracks]) / factor).astype(int)
    first = boxes([track.mask for track in tracks]) + np.tile(shifts[:, ::-1], 2)
    second = boxes([item.mask for item in observations])
    meets = (first[:, None, :2] < second[None, :, 2:]) & (second[None, :, :2] < first[:, None, 2:])
    ious = np.zeros((len(tracks), len(observations)))
    for row, column in np.argwhere(meets.all(2)).tolist():
        right, down = shifts[row].tolist()
        ious[row, column] = tracks[row].mask.iou(observations[column].mask, down, right)
    return ious


def boxes(masks: list) -> np.ndarray:
    """Return the first row and column, and those after the last, of each mask in cells."""
    return np.array(
        [
            (mask.top, mask.left, mask.top + mask.cells.shape[0], mask.left + mask.cells.shape[1])
            for mask in masks
        ]
    )


def motion_distances(
    tracks: Sequence[Track], observations: Sequence[Observation]
) -> Float[np.ndarray, "t n"]:
    """Compute the squared Mahalanobis distance of each observation from each track."""
    observed = np.stack([item.box for item in observations])
    return np.stack([track.motion.squared_distances(*track.measure(observed)) for track in tracks])


def similarities(
    tracks: Sequence[Track], observations: Sequence[Observation]
) -> tuple[Float[np.ndarray, "t n"], Bool[np.ndarray, "t n"]]:
    """Compute the cosine similarity of each pair's embeddings, from 0 to 1, and where known."""
    shape = (len(tracks), len(observations))
    rows = [index for index, track in enumerate(tracks) if track.embedding is not None]
    columns = [index for index, item in enumerate(observations) if item.embedding is not None]
    similar, known = np.zeros(shape), np.zeros(shape, bool)
    if rows and columns:
        first = np.stack([np.asarray(tracks[row].embedding) for row in rows])
        second = np.stack([np.asarray(observations[column].embedding) for column in columns])
        similar[np.ix_(rows, columns)] = (first @ second.T).clip(0, 1)
        known[np.ix_(rows, columns)] = True
    return similar, known
