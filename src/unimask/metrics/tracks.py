"""Tracks of a video as objects of one long image, the input of YouTube-VIS AP."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from unimask.formats.run_length import RunLength
from unimask.metrics.average_precision import AveragePrecision
from unimask.metrics.objects import Objects

TRACK_AREAS = {
    "": (0.0, 1e10),
    "s": (0.0, 128.0**2),
    "m": (128.0**2, 256.0**2),
    "l": (256.0**2, 1e10),
}
"""Minimum and maximum mean area in pixels of all, small, medium and large tracks."""

TrackMasks = Mapping[int, RunLength]
"""Mask of a track in each frame in which it is visible, by the frame's index."""


def build_tracks(
    tracks: Sequence[TrackMasks],
    label_ids: Sequence[int],
    size: tuple[int, int],
    length: int,
    *,
    scores: Sequence[float] | Float[np.ndarray, " n"] | None = None,
    crowds: Sequence[bool] | None = None,
) -> Objects:
    """Return tracks as objects whose masks are those of all frames, side by side.

    The IoU of two such masks is the sum of intersections over the sum of unions of all frames, as
    YouTube-VIS defines it (Yang et al. 2019). Areas are means over the frames with the object.

    Args:
        tracks: Masks of each track.
        label_ids: Class of each track.
        size: Height and width of the frames in pixels.
        length: Number of frames.
        scores: Score of each track; None for ground truth.
        crowds: Whether a track stands for several objects.
    """
    areas = [sum(mask.area for mask in masks.values()) / max(1, len(masks)) for masks in tracks]
    joined = [join_frames(masks, size, length) for masks in tracks]
    return Objects.from_masks(joined, label_ids, scores=scores, crowds=crowds, areas=areas)


def join_frames(masks: TrackMasks, size: tuple[int, int], length: int) -> RunLength:
    """Return the masks of a track as one mask of the frames side by side."""
    pixels = size[0] * size[1]
    runs = [(frame, *masks[frame].runs) for frame in sorted(masks)]
    starts = [frame * pixels + start for frame, start, _ in runs]
    lengths = [length for _, _, length in runs]
    empty = [np.zeros(0, np.int64)]
    return RunLength.from_runs(
        (size[0], size[1] * length),
        np.concatenate(starts or empty),
        np.concatenate(lengths or empty),
    )


class TrackPrecision(AveragePrecision):
    """AP and AR of tracks (YouTube-VIS): `update` takes the tracks of one video.

    Args:
        labels: Classes to evaluate.
    """

    area_ranges = TRACK_AREAS
