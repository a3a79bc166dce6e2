"""Assignment of observations to tracks by overlap, motion, embeddings and classes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from unimask.tracking.places import Places
from unimask.tracking.settings import TrackerSettings
from unimask.tracking.track import Observation, Track, stack_boxes

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
    places: Places,
    rows: Sequence[int],
    observations: Sequence[Observation],
    settings: TrackerSettings,
    factor: int,
) -> list[tuple[int, int]]:
    """Match each of some tracks to at most one observation, so that the sum of costs is minimal.

    Args:
        tracks: All tracks.
        places: Their places, moved to the present.
        rows: Indices of the tracks to match.
        observations: Objects of the present result.
        settings: Weights.
        factor: Factor by which masks are subsampled.

    Returns:
        Pairs of the index of a track and the index of an observation.
    """
    if not len(rows) or not observations:
        return []
    # Imported here because it takes long, and only tracking needs it.
    from scipy.optimize import linear_sum_assignment

    costs = cost_matrix([tracks[row] for row in rows], places, rows, observations, settings, factor)
    matched, columns = linear_sum_assignment(costs)
    possible = costs[matched, columns] < IMPOSSIBLE
    pairs = zip(matched[possible].tolist(), columns[possible].tolist(), strict=True)
    return [(rows[index], column) for index, column in pairs]


def cost_matrix(
    tracks: Sequence[Track],
    places: Places,
    rows: Sequence[int],
    observations: Sequence[Observation],
    settings: TrackerSettings,
    factor: int,
) -> Float[np.ndarray, "t n"]:
    """Compute the cost of each pair, from 0 to 1; `IMPOSSIBLE` for pairs out of reach.

    Args:
        tracks: Tracks to match.
        places: Places of all tracks.
        rows: Rows of the tracks' places.
        observations: Objects of the present result.
        settings: Weights.
        factor: Factor by which masks are subsampled.
    """
    ious = predicted_ious(tracks, places.shifts[rows], observations, factor)
    distances = places.squared_distances(rows, stack_boxes(observations))
    similar, known = similarities(tracks, observations)
    embedding_weight = settings.embedding_weight * known
    total = settings.overlap_weight + settings.motion_weight + embedding_weight
    affinity = (
        settings.overlap_weight * ious
        + settings.motion_weight * np.exp(-distances / 2)
        + embedding_weight * similar
    ) / total
    labels = [np.array([item.label_id for item in items]) for items in (tracks, observations)]
    other_class = labels[0][:, None] != labels[1]
    costs = 1 - affinity + CLASS_COST * other_class
    within_reach = (distances <= MAX_DISTANCE**2) | (ious >= MIN_IOU)
    within_reach &= ~other_class | (ious >= MIN_IOU_OTHER_CLASS)
    return np.where(within_reach, costs, IMPOSSIBLE)


def predicted_ious(
    tracks: Sequence[Track],
    shifts: Float[np.ndarray, "t 2"],
    observations: Sequence[Observation],
    factor: int,
) -> Float[np.ndarray, "t n"]:
    """Compute the IoU of each track's last mask, moved to its predicted place, with each mask.

    Only masks whose boxes overlap are compared.
    """
    cells = np.rint(shifts / factor).astype(int)
    first = boxes([track.mask for track in tracks]) + np.tile(cells[:, ::-1], 2)
    second = boxes([item.mask for item in observations])
    meets = (first[:, None, :2] < second[None, :, 2:]) & (second[None, :, :2] < first[:, None, 2:])
    ious = np.zeros((len(tracks), len(observations)))
    for row, column in np.argwhere(meets.all(2)).tolist():
        right, down = cells[row].tolist()
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
