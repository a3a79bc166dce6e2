"""Sources of tracks for labelled videos: a model that follows objects, or files."""

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unimask.datasets import Dataset, Sample, check_tasks
from unimask.datasets.videos import Video
from unimask.errors import DataError, TaskError
from unimask.evaluation.result_files.track_files import TrackMask, read_tracks
from unimask.evaluation.result_providers import Predictions
from unimask.labels import LabelSet, Task
from unimask.results import Result, Segment
from unimask.tracking import ClipSettings

MAX_WHOLE_FRAMES = 36
"""Number of frames up to which videos are one clip at any size: the most in YouTube-VIS 2019."""


class TrackProvider(Protocol):
    """Tracked results for the videos of a dataset.

    Attributes:
        dataset: Dataset with the ground truth.
        task: Task of the results.
        labels: Label set in which results and ground truth are scored.
        min_score: Minimum score of the tracks that count where scores do not rank them.
    """

    dataset: Dataset
    task: Task
    labels: LabelSet
    min_score: float

    def results(self, video: Video) -> Iterator[tuple[Result, Sample]]:
        """Yield the result and the ground truth of each frame."""
        ...

    def notes(self) -> list[str]:
        """Return remarks on the results."""
        ...


class PredictedTracks:
    """Tracks of a model, as `Predictor.track` yields them from the labelled frames.

    Args:
        predictions: Model with the dataset that it was opened for.
    """

    def __init__(self, predictions: Predictions) -> None:
        self.predictions, self.dataset = predictions, predictions.dataset
        self.task: Task = predictions.task
        self.labels = predictions.labels
        clips = predictions.predictor.segments_clips
        self.min_score = predictions.min_score if clips else 0.0

    def results(self, video: Video) -> Iterator[tuple[Result, Sample]]:
        """Segment and track the frames one by one."""
        samples: deque[Sample] = deque()

        def read_frames() -> Iterator[np.ndarray]:
            for index in video.frames:
                samples.append(self.dataset[index])
                yield samples[-1].image

        options = self.clip_options(len(video.frames))
        tracked = self.predictions.predictor.track(read_frames(), self.task, **options)
        with closing(tracked) as frames:
            for frame in frames:
                yield self.predictions.classes.map_result(frame.result), samples.popleft()

    def clip_options(self, frames: int) -> dict[str, Any]:
        """Return the options of `track` by which the authors' rule scores networks of clips.

        They segment videos as a whole, and keep the best pairs of query and class whatever their
        scores.
        """
        if not self.predictions.predictor.segments_clips:
            return {}
        clips = ClipSettings(frames) if 2 <= frames <= MAX_WHOLE_FRAMES else None
        return {"threshold": 0.0, "clips": clips}

    def notes(self) -> list[str]:
        """Return which classes of the model the data lacks."""
        return self.predictions.classes.notes()


class FileTracks:
    """Tracks of things that were read from files.

    Args:
        results: YouTube-VIS JSON or MOTS text, or a folder of such files; see `read_tracks`.
        dataset: Dataset with the ground truth.
        videos: Its videos.
        task: Task to score, which must be "instance" if it is given.
        categories: Numbering of classes, "data" or "labels"; None to choose it by the format.

    Raises:
        DataError: The files cannot be read, or belong to other videos or classes.
        TaskError: Another task was requested.
    """

    task: Task = "instance"
    min_score = 0.0

    def __init__(
        self,
        results: str | Path,
        dataset: Dataset,
        videos: list[Video],
        task: str | None,
        categories: str | None,
    ) -> None:
        if task not in (None, "instance"):
            raise TaskError(f"{results} holds tracks of things, not {task} results: omit --task")
        check_tasks(dataset, ("instance",))
        self.dataset, self.labels = dataset, dataset.labels
        self.tracks, self.file_notes = read_tracks(Path(results), dataset, videos, categories)
        self.num_missing = sum(video.id not in self.tracks for video in videos)
        self.num_videos = len(videos)

    def results(self, video: Video) -> Iterator[tuple[Result, Sample]]:
        """Yield the tracked objects of each frame."""
        frames = self.tracks.get(video.id, {})
        for place, index in enumerate(video.frames):
            sample = self.dataset[index]
            masks = frames.get(place, [])
            segments = tuple(
                self.build_segment(number, mask, sample)
                for number, mask in enumerate(masks, start=1)
            )
            yield Result("instance", sample.size, self.labels, segments, path=sample.path), sample

    def build_segment(self, number: int, mask: TrackMask, sample: Sample) -> Segment:
        """Convert a mask of a track to a segment.

        Raises:
            DataError: It has another size than its frame.
        """
        if mask.rle.size != sample.size:
            raise DataError(
                f"{mask.origin} has a mask of {mask.rle.size[0]} x {mask.rle.size[1]}, but "
                f"{sample.path} is {sample.size[0]} x {sample.size[1]}: write masks at the size of "
                "the frames"
            )
        return Segment(
            id=number,
            label=self.labels.names[mask.label_id],
            label_id=mask.label_id,
            is_thing=self.labels.is_thing[mask.label_id],
            score=mask.score,
            area=mask.rle.area,
            box=mask.rle.box,
            rle=mask.rle,
            track_id=mask.track,
        )

    def notes(self) -> list[str]:
        """Return which videos have no result, and which results are left out."""
        notes = list(self.file_notes)
        if self.num_missing:
            notes.append(
                f"{self.num_missing} of {self.num_videos} videos have no result: all their objects "
                "count as missed"
            )
        return notes
