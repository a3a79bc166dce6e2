"""Scorers of tracks, one for things and one for panoptic and semantic maps, video by video."""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import replace
from typing import Protocol

import numpy as np
from jaxtyping import Int

from unimask.datasets import Sample
from unimask.errors import DataError
from unimask.evaluation.objects import ground_truth_objects
from unimask.evaluation.scorers import Scores
from unimask.evaluation.track_identities import IdentityScores
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet, Task
from unimask.metrics.panoptic_quality import mean_percent
from unimask.metrics.tracking_quality import TrackingQuality
from unimask.metrics.tracks import TrackPrecision, build_tracks
from unimask.metrics.video_panoptic_quality import PanopticFrame, VideoPanopticQuality
from unimask.results import Result
from unimask.visualization.overlay import paint_runs

MAX_PIXELS = 2**32 - 1
"""Maximum number of pixels of all frames of a video, which 32-bit run lengths can express."""


class TrackScorer(Protocol):
    """Accumulator of scores, which takes the frames of one video after another."""

    def add(self, result: Result, sample: Sample) -> None:
        """Add the next frame of a video."""
        ...

    def end_video(self, name: str) -> None:
        """End a video."""
        ...

    def metrics(self) -> Scores:
        """Return the scores in percent, and counts."""
        ...

    def per_class(self) -> dict[str, Scores]:
        """Return the scores by class in percent."""
        ...

    def notes(self) -> list[str]:
        """Return remarks on the scores."""
        ...


class CollectedTrack:
    """Masks of one object in all frames of a video."""

    def __init__(self) -> None:
        self.masks: dict[int, RunLength] = {}
        self.class_scores: defaultdict[int, float] = defaultdict(float)
        self.total = 0.0
        self.is_crowd = False

    def add(self, frame: int, mask: RunLength, label_id: int, score: float) -> None:
        """Add the mask in a frame; the part in several masks of one id is counted once."""
        earlier = self.masks.get(frame)
        if earlier is not None:
            mask = RunLength.from_mask(earlier.to_mask() | mask.to_mask())
        self.masks[frame] = mask
        self.class_scores[label_id] += score or 1e-9
        self.total += score

    @property
    def label_id(self) -> int:
        """Class with the largest sum of scores."""
        return max(self.class_scores, key=self.class_scores.__getitem__)

    @property
    def score(self) -> float:
        """Mean score."""
        return self.total / len(self.masks)


class ThingTrackScorer:
    """AP and AR of tracks as YouTube-VIS defines them; HOTA, IDF1, MOTA and switches by TrackEval.

    A track has one class, that with the largest sum of scores, and the mean of its scores. Segments
    without a track do not count.

    Args:
        labels: Classes to evaluate.
        min_score: Minimum score of the tracks that TrackEval counts; AP and AR rank all.
    """

    def __init__(self, labels: LabelSet, min_score: float = 0.0) -> None:
        self.labels, self.min_score = labels, min_score
        self.precision = TrackPrecision(labels)
        self.identities = IdentityScores(labels)
        self.begin_video()

    def begin_video(self) -> None:
        """Forget the tracks of the video before."""
        self.size, self.length = (0, 0), 0
        self.predicted: defaultdict[int, CollectedTrack] = defaultdict(CollectedTrack)
        self.true: defaultdict[int, CollectedTrack] = defaultdict(CollectedTrack)
        self.unlabelled: list[RunLength | None] = []

    def add(self, result: Result, sample: Sample) -> None:
        """Add the next frame of a video."""
        assert sample.track_ids is not None
        for segment in result.segments:
            if segment.track_id is not None and segment.is_thing and segment.area:
                score = 1.0 if segment.score is None else segment.score
                track = self.predicted[segment.track_id]
                track.add(self.length, segment.rle, segment.label_id, score)
        rows = np.flatnonzero(np.array(self.labels.is_thing)[sample.label_ids])
        objects = ground_truth_objects(sample, self.labels)
        for row, mask in zip(rows.tolist(), objects.masks, strict=True):
            if mask.area:
                track = self.true[int(sample.track_ids[row])]
                track.add(self.length, mask, int(sample.label_ids[row]), 1.0)
                track.is_crowd |= bool(sample.crowds[row])
        ignored = sample.ignored
        self.unlabelled.append(None if ignored is None else RunLength.from_mask(ignored))
        self.size = sample.size
        self.length += 1

    def end_video(self, name: str) -> None:
        """Score the tracks of a video.

        Raises:
            DataError: The video is too long.
        """
        if self.length * self.size[0] * self.size[1] > MAX_PIXELS:
            raise DataError(
                f"{name} has {self.length} frames of {self.size[1]} x {self.size[0]} pixels, more "
                f"than {MAX_PIXELS} pixels in all: score it in parts"
            )
        predicted, true = list(self.predicted.values()), list(self.true.values())
        self.precision.update(
            build_tracks(
                [track.masks for track in predicted],
                [track.label_id for track in predicted],
                self.size,
                self.length,
                scores=[track.score for track in predicted],
            ),
            build_tracks(
                [track.masks for track in true],
                [track.label_id for track in true],
                self.size,
                self.length,
                crowds=[track.is_crowd for track in true],
            ),
        )
        confident = [track for track in predicted if track.score >= self.min_score]
        self.identities.add_video(name, confident, true, self.unlabelled)
        self.begin_video()

    def metrics(self) -> Scores:
        """Return the scores in percent, and the number of switches."""
        return self.precision.compute() | self.identities.compute()

    def per_class(self) -> dict[str, Scores]:
        """Return the scores by class of things in percent."""
        scores, others = self.precision.per_class(), self.identities.per_class()
        names = [self.labels.names[label] for label in self.labels.things]
        return {name: scores[name] | others.get(name, {}) for name in names}

    def notes(self) -> list[str]:
        """Return a note on scores that need another package."""
        return self.identities.notes()


class TubeScorer:
    """VPQ and STQ of panoptic maps; of semantic maps, in which all classes are stuff.

    Segments without a track have an id of their own in each frame. Where true objects overlap, the
    frontmost counts.

    Args:
        labels: Classes to evaluate.
        task: "panoptic" or "semantic".
    """

    def __init__(self, labels: LabelSet, task: Task) -> None:
        if task == "semantic":
            labels = replace(labels, is_thing=(False,) * len(labels))
        self.labels, self.task = labels, task
        self.tubes = VideoPanopticQuality(labels)
        self.association = TrackingQuality(labels)
        self.num_videos = 0
        self.begin_video()

    def begin_video(self) -> None:
        """Forget the ids of the video before."""
        self.predicted_ids: dict[Hashable, int] = {}
        self.true_ids: dict[Hashable, int] = {}
        self.frame = 0

    def add(self, result: Result, sample: Sample) -> None:
        """Add the next frame of a video."""
        predicted, predicted_labels = self.predicted_map(result)
        true, true_labels, crowds = self.true_map(sample)
        self.tubes.update(PanopticFrame(predicted, predicted_labels, true, true_labels, crowds))
        is_crowd = np.isin(true, list(crowds))
        self.association.update(
            label_map(predicted, predicted_labels),
            predicted,
            label_map(true, true_labels),
            np.where(is_crowd, 0, true),
            self.num_videos,
        )
        self.frame += 1

    def predicted_map(self, result: Result) -> tuple[Int[np.ndarray, "h w"], dict[int, int]]:
        """Return the id of each pixel of a result, 0 for none, and the label id of each id."""
        ids, labels = np.zeros(result.size[::-1], np.int64), {}
        for segment in result.back_to_front():
            name: Hashable = segment.label_id
            if self.labels.is_thing[segment.label_id]:
                own = ("frame", self.frame, segment.id)
                track = own if segment.track_id is None else segment.track_id
                name = (segment.label_id, track)
            number = self.predicted_ids.setdefault(name, len(self.predicted_ids) + 1)
            labels[number] = segment.label_id
            paint_runs(ids, number, *segment.rle.runs)
        return np.ascontiguousarray(ids.T), labels

    def true_map(
        self, sample: Sample
    ) -> tuple[Int[np.ndarray, "h w"], dict[int, int], frozenset[int]]:
        """Return the id of each pixel of a sample, the label id of each id, and ids of crowds."""
        assert sample.track_ids is not None
        table, labels, crowds = [0], {}, set()
        columns = (sample.label_ids, sample.track_ids, sample.crowds)
        for label, track, crowd in zip(*(column.tolist() for column in columns), strict=True):
            if crowd and self.task == "semantic":
                table.append(0)
                continue
            name = (label, track, crowd) if self.labels.is_thing[label] or crowd else label
            number = self.true_ids.setdefault(name, len(self.true_ids) + 1)
            labels[number] = label
            table.append(number)
            if crowd:
                crowds.add(number)
        true = np.array(table, np.int64)[sample.front]
        if sample.ignored is not None:
            true[sample.ignored] = 0
        return true, labels, frozenset(crowds)

    def end_video(self, name: str) -> None:
        """End a video."""
        del name
        self.tubes.end_sequence()
        self.num_videos += 1
        self.begin_video()

    def metrics(self) -> Scores:
        """Return the scores in percent."""
        return self.tubes.compute() | self.association.compute()

    def per_class(self) -> dict[str, Scores]:
        """Return VPQ and IoU by class in percent."""
        windows = [quality.per_class() for quality in self.tubes.qualities.values()]
        ious = self.association.mean_iou.ious()
        scores: dict[str, Scores] = {}
        for label, name in enumerate(self.labels.names):
            values = [window[name]["PQ"] for window in windows]
            known = np.array([np.nan if value is None else value / 100 for value in values])
            scores[name] = {"VPQ": mean_percent(known), "IoU": mean_percent(ious[label, None])}
        return scores

    def notes(self) -> list[str]:
        """Return no notes."""
        return []


def label_map(ids: Int[np.ndarray, "h w"], labels: dict[int, int]) -> Int[np.ndarray, "h w"]:
    """Return the label id of each pixel from its id, -1 for id 0."""
    table = np.full(1 + max(labels, default=0), -1, np.int64)
    table[list(labels)] = list(labels.values())
    return table[ids]


def build_track_scorer(task: Task, labels: LabelSet, min_score: float = 0.0) -> TrackScorer:
    """Build the scorer of a task; see `ThingTrackScorer`."""
    return ThingTrackScorer(labels, min_score) if task == "instance" else TubeScorer(labels, task)
