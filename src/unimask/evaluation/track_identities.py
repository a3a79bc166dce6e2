"""HOTA, IDF1, MOTA and switches of ids, computed by TrackEval (Luiten et al. 2020)."""

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from unimask.evaluation.scorers import Scores
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.metrics import Objects, count_pixels_inside, mask_ious

MIN_IOU = 0.5
"""IoU from which on a predicted mask is an object's; HOTA varies it."""

MAX_VOID_FRACTION = 0.5
"""Fraction of a predicted mask on unlabelled pixels above which it does not count, unmatched."""


class TrackLike(Protocol):
    """Object with its masks in a video."""

    masks: dict[int, RunLength]
    is_crowd: bool

    @property
    def label_id(self) -> int:
        """Class."""
        ...


class IdentityScores:
    """Scores of identities by class, without effect if TrackEval is not installed.

    As in MOTS, an unmatched prediction with more than half of its pixels on unlabelled regions does
    not count; crowds are such regions.

    Args:
        labels: Classes to evaluate.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self.is_installed = importlib.util.find_spec("trackeval") is not None
        self.videos: dict[int, dict[str, dict[str, Any]]] = {label: {} for label in labels.things}

    def add_video(
        self,
        name: str,
        predicted: Sequence[TrackLike],
        true: Sequence[TrackLike],
        unlabelled: Sequence[RunLength | None],
    ) -> None:
        """Score a video.

        Args:
            name: Name of the video, different from those of all others.
            predicted: Predicted tracks.
            true: True tracks.
            unlabelled: Unlabelled pixels of each frame, None for none.
        """
        if not self.is_installed:
            return
        crowds = [track for track in true if track.is_crowd]
        for label, videos in self.videos.items():
            guesses = [track for track in predicted if track.label_id == label]
            objects = [t for t in true if t.label_id == label and not t.is_crowd]
            if guesses or objects:
                videos[f"{len(videos)} {name}"] = score_video(guesses, objects, crowds, unlabelled)

    def compute(self) -> Scores:
        """Return the means over classes with objects in percent, and the number of switches."""
        rows = [row for row in self.per_class().values() if row["HOTA"] is not None]
        if not self.is_installed:
            return {}
        scores: Scores = {}
        for key in ("HOTA", "IDF1", "MOTA", "switches"):
            values = [value for row in rows if (value := row[key]) is not None]
            total = sum(values)
            scores[key] = None if not values else total if key == "switches" else total / len(rows)
        return scores

    def per_class(self) -> dict[str, Scores]:
        """Return the scores of each class of things; None where there is no object."""
        if not self.is_installed:
            return {}
        return {
            self.labels.names[label]: combine_videos(videos)
            for label, videos in self.videos.items()
        }

    def notes(self) -> list[str]:
        """Return a note on the package that is missing."""
        if self.is_installed:
            return []
        return ["HOTA, IDF1 and MOTA need TrackEval: pip install 'unimask[tracks]'"]


def score_video(
    predicted: Sequence[TrackLike],
    true: Sequence[TrackLike],
    crowds: Sequence[TrackLike],
    unlabelled: Sequence[RunLength | None],
) -> dict[str, Any]:
    """Score the tracks of one class in one video by the metrics of TrackEval."""
    frames = [
        match_frame(frame, predicted, true, [*regions(frame, crowds), void])
        for frame, void in enumerate(unlabelled)
    ]
    used = sorted({row for rows, _, _ in frames for row in rows})
    numbers = {row: number for number, row in enumerate(used)}
    data = {
        "tracker_ids": [np.array([numbers[row] for row in rows], int) for rows, _, _ in frames],
        "gt_ids": [np.array(rows, int) for _, rows, _ in frames],
        "similarity_scores": [ious for _, _, ious in frames],
        "num_timesteps": len(frames),
        "num_tracker_ids": len(used),
        "num_gt_ids": len(true),
        "num_tracker_dets": sum(len(rows) for rows, _, _ in frames),
        "num_gt_dets": sum(len(rows) for _, rows, _ in frames),
    }
    return {name: metric.eval_sequence(data) for name, metric in build_metrics().items()}


def match_frame(
    frame: int,
    predicted: Sequence[TrackLike],
    true: Sequence[TrackLike],
    ignored: Sequence[RunLength | None],
) -> tuple[list[int], list[int], np.ndarray]:
    """Return the predicted and true tracks that count in a frame, and the IoUs of their masks."""
    rows = [row for row, track in enumerate(predicted) if frame in track.masks]
    columns = [row for row, track in enumerate(true) if frame in track.masks]
    guesses = frame_objects(frame, predicted, rows)
    ious = mask_ious(guesses, frame_objects(frame, true, columns)).T
    inside = np.zeros(len(rows))
    for region in ignored:
        if region is not None:
            inside += count_pixels_inside(guesses, region)
    counts = (ious >= MIN_IOU).any(0) | (inside <= MAX_VOID_FRACTION * guesses.areas)
    return [row for row, keep in zip(rows, counts, strict=True) if keep], columns, ious[:, counts]


def frame_objects(frame: int, tracks: Sequence[TrackLike], rows: Sequence[int]) -> Objects:
    """Return the masks of some tracks in a frame."""
    return Objects.from_masks([tracks[row].masks[frame] for row in rows], [0] * len(rows))


def regions(frame: int, tracks: Sequence[TrackLike]) -> list[RunLength]:
    """Return the masks that tracks have in a frame."""
    return [track.masks[frame] for track in tracks if frame in track.masks]


def combine_videos(videos: Mapping[str, dict[str, Any]]) -> Scores:
    """Return the scores over all videos in percent; None without an object."""
    keys = ("HOTA", "IDF1", "MOTA", "switches")
    combined = {
        name: metric.combine_sequences({video: scores[name] for video, scores in videos.items()})
        for name, metric in build_metrics().items()
        if videos
    }
    if not videos or not combined["CLEAR"]["CLR_TP"] + combined["CLEAR"]["CLR_FN"]:
        return dict.fromkeys(keys)
    return {
        "HOTA": 100 * float(np.mean(combined["HOTA"]["HOTA"])),
        "IDF1": 100 * float(combined["Identity"]["IDF1"]),
        "MOTA": 100 * float(combined["CLEAR"]["MOTA"]),
        "switches": float(combined["CLEAR"]["IDSW"]),
    }


def build_metrics() -> dict[str, Any]:
    """Build the metrics of TrackEval."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trackeval import metrics  # pyright: ignore[reportMissingImports]

    quiet = {"PRINT_CONFIG": False, "THRESHOLD": MIN_IOU}
    return {
        "HOTA": metrics.HOTA(),
        "Identity": metrics.Identity(quiet),
        "CLEAR": metrics.CLEAR(quiet),
    }
