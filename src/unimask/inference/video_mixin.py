"""Method of predictors that segments videos and follows their objects."""

import time
from collections import deque
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Unpack

import torch

from unimask.errors import SettingsError
from unimask.inference.pipeline import Pipeline
from unimask.inference.query_embeddings import QueryEmbeddings, capture_query_embeddings
from unimask.labels import Task
from unimask.processing.arguments import check_fraction
from unimask.processing.images import MAX_PIXELS
from unimask.processing.score_smoothing import ScoreSmoother
from unimask.results import Result

if TYPE_CHECKING:
    from unimask.tracking import ClipSettings, TrackerSettings
    from unimask.video import Frame, FrameOptions, TrackedFrame
    from unimask.video.sources import VideoSource

INTERVALS = 15
"""Number of intervals between frames whose median is one step of the tracker."""

MAX_STEP = 1e3
"""Largest number of steps between two frames."""


class VideoMixin(Pipeline):
    """Method that segments the frames of a video, whose objects keep their ids."""

    def track(
        self,
        source: "VideoSource",
        task: str | None = None,
        *,
        threshold: float | None = None,
        smoothing: float = 0.0,
        settings: "TrackerSettings | None" = None,
        clips: "ClipSettings | None" = None,
        **options: "Unpack[FrameOptions]",
    ) -> "Generator[TrackedFrame]":
        """Segment a video frame by frame, in constant memory; segments have a `track_id`.

        Networks that segment clips (Mask2Former for video) read a clip before they return its
        frames; their objects need no tracker.

        Args:
            source: Video file; folder or glob pattern of frames; number of a camera; address of a
                stream (rtsp://...); or iterator of RGB images (h, w, 3). Of live sources, the
                newest frame is segmented and others are dropped.
            task: "semantic", "instance" or "panoptic"; by default the model's most general task.
            threshold: Minimum score, see `predict`.
            smoothing: Semantic: weight of the earlier frames in an exponential mean of the class
                scores, 0 to below 1. It calms borders, and blurs what moves.
            settings: Settings of the tracker.
            clips: Length and overlap of clips, for networks that segment clips.
            options: Which frames: `every`, `start`, `end`, `rate`, `live`, `patience`; see
                `unimask.video.FrameOptions`.

        Returns:
            Iterator of frames with `index`, `time` in seconds, `image`, `result`, and for live
            sources `age` in seconds. The `track_id` of a segment is None until its object is
            confirmed; stuff has one id per class.

        Raises:
            ImageError: The source cannot be read, or is lost.
            MissingExtraError: PyAV is not installed (`pip install 'unimask[video]'`).
            SettingsError: An option is out of range, or is for networks of another kind.
            TaskError: The model was not trained for the task.

        Example:
            >>> import unimask
            >>> model = unimask.load("rendered-town")  # doctest: +SKIP
            >>> for frame in model.track("traffic.mp4"):  # doctest: +SKIP
            ...     print(frame.time, [segment.track_id for segment in frame.result.segments])
        """
        # Imported here because predictions of images do not need them.
        from unimask.tracking import Tracker
        from unimask.video import open_frames

        resolved_task = self.resolve_task(task)
        check_fraction("threshold", threshold, optional=True)
        if not 0 <= smoothing < 1 or (smoothing and resolved_task != "semantic"):
            raise SettingsError(
                f"smoothing {smoothing} must be at least 0 and below 1, and is for semantic only"
            )
        if self.segments_clips:
            from unimask.inference.clips import ClipSegmenter
            from unimask.tracking import ClipSettings

            segmenter = ClipSegmenter(self, threshold, clips or ClipSettings())
            return segmenter.track(open_frames(source, **options))
        if clips is not None:
            raise SettingsError(f"{self.name} segments images: length and overlap are for clips")
        smoother = ScoreSmoother(smoothing) if smoothing else None
        tracker = Tracker(settings)
        frames = open_frames(source, **options)
        return self.track_frames(frames, tracker, resolved_task, threshold, smoother)

    def track_frames(
        self,
        frames: "Generator[Frame]",
        tracker,
        task: Task,
        threshold: float | None,
        smoother: ScoreSmoother | None,
    ) -> "Generator[TrackedFrame]":
        """Segment and track the frames of a source that is open."""
        from unimask.video import TrackedFrame

        intervals: deque[float] = deque(maxlen=INTERVALS)
        previous: float | None = None
        network = torch.nn.Identity() if self.compiled else self.network
        with closing(frames):
            for frame in frames:
                with capture_query_embeddings(network) as embeddings:
                    result, vectors = self.segment_frame(
                        frame, embeddings, task, threshold, smoother
                    )
                step = 1.0
                if previous is not None:
                    intervals.append(frame.time - previous)
                    step = min(intervals[-1] / median(intervals), MAX_STEP)
                previous = frame.time
                tracked = tracker.update(result, vectors, step)
                age = None if frame.received is None else time.monotonic() - frame.received
                yield TrackedFrame(frame.index, frame.time, frame.image, tracked, age, frame.name)
                del frame, result, tracked  # else they stay in memory while the next one is read

    @torch.inference_mode()
    def segment_frame(
        self,
        frame: "Frame",
        embeddings: QueryEmbeddings,
        task: Task,
        threshold: float | None,
        smoother: ScoreSmoother | None,
    ) -> tuple[Result, list | None]:
        """Segment one frame, and return the query embeddings of its segments, if known."""
        pending = self.prepare(frame.image, None, MAX_PIXELS)
        if smoother is None:
            (result,) = self.run([pending], task, threshold, retain_confidence=False)
            return result, embeddings.select(result)
        start = time.perf_counter()
        pixel_values = pending.preprocessed.pixel_values[None].to(self.device, self.dtype)
        output = self.logits(pixel_values, task)
        classes, masks = smoother.update(output.class_logits[0], output.mask_logits[0])
        smoothed = output._replace(class_logits=classes[None], mask_logits=masks[None])
        result = self.postprocess(smoothed, 0, pending.preprocessed, task, threshold, False)
        speed = {
            "preprocess": pending.milliseconds,
            "network": 1000 * (time.perf_counter() - start),
            "postprocess": 0.0,
        }
        labels = self.description.labels
        return replace(result, labels=labels, image=frame.image, speed=speed), None
