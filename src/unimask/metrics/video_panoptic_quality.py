"""Video panoptic quality (VPQ; Kim et al. 2020)."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from unimask.labels import LabelSet
from unimask.metrics.panoptic_quality import PanopticQuality

WINDOWS = (1, 2, 3, 4)
"""Numbers of consecutive annotated frames whose segments are matched as one."""


class PanopticFrame(NamedTuple):
    """Prediction and ground truth of a frame, with ids that are the same in all frames.

    Attributes:
        predicted: Ids of the predicted segments; 0 for void.
        predicted_labels: Label id of each predicted segment.
        ground_truth: Ids of the true segments; 0 for void.
        ground_truth_labels: Label id of each true segment, crowds included.
        crowds: Ids of true segments that stand for several objects.
    """

    predicted: Int[np.ndarray, "h w"]
    predicted_labels: Mapping[int, int]
    ground_truth: Int[np.ndarray, "h w"]
    ground_truth_labels: Mapping[int, int]
    crowds: frozenset[int] = frozenset()


class VideoPanopticQuality:
    """Mean of the PQ of tubes: segments through windows of 1 to 4 consecutive frames.

    A tube is matched like a segment of one image: by its IoU over all frames of the window, without
    void. Ids of one class must not be used for another.

    Args:
        labels: Classes to evaluate.
        windows: Numbers of frames.
    """

    def __init__(self, labels: LabelSet, windows: Sequence[int] = WINDOWS) -> None:
        self.qualities = {window: PanopticQuality(labels) for window in windows}
        self.frames: deque[PanopticFrame] = deque(maxlen=max(windows))

    def update(self, frame: PanopticFrame) -> None:
        """Add the next annotated frame of a sequence."""
        self.frames.append(frame)
        frames = list(self.frames)
        for window, quality in self.qualities.items():
            if len(frames) >= window:
                quality.update(*stack_frames(frames[-window:]))

    def end_sequence(self) -> None:
        """End a sequence, so that no window joins its frames with those of the next."""
        self.frames.clear()

    def compute(self) -> dict[str, float | None]:
        """Return VPQ over all classes, things and stuff, and PQ by window, in percent."""
        scores = {window: quality.compute() for window, quality in self.qualities.items()}
        result: dict[str, float | None] = {}
        for suffix in ("", "_things", "_stuff"):
            values = [score["PQ" + suffix] for score in scores.values()]
            known = [value for value in values if value is not None]
            result["VPQ" + suffix] = sum(known) / len(known) if known else None
        return result | {f"VPQ{window}": score["PQ"] for window, score in scores.items()}


def stack_frames(frames: Sequence[PanopticFrame]) -> PanopticFrame:
    """Join frames to one image, in which each tube is a segment."""
    predicted_labels: dict[int, int] = {}
    true_labels: dict[int, int] = {}
    for frame in frames:
        predicted_labels.update(frame.predicted_labels)
        true_labels.update(frame.ground_truth_labels)
    return PanopticFrame(
        np.concatenate([frame.predicted for frame in frames]),
        predicted_labels,
        np.concatenate([frame.ground_truth for frame in frames]),
        true_labels,
        frozenset().union(*(frame.crowds for frame in frames)),
    )
