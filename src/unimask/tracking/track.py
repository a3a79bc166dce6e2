"""Observed objects, and the tracks that they continue."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from unimask.results import Segment
from unimask.tracking.compact_mask import CompactMask
from unimask.tracking.motion import POSITION_NOISE, Motion

EXTENT_DECAY = 0.98
"""Factor per observation of the known extent of an object that appears smaller."""

INTERVAL_NOISE = 12**-0.5
"""Standard deviation of a position in an interval of possible ones, as a share of its length."""

MIN_NOISE = 0.5
"""Smallest standard deviation of a measured position in pixels."""

EMBEDDING_MEMORY = 0.9
"""Weight of the earlier mean in the exponential mean of embeddings."""

MIN_VISIBLE = 0.5
"""Smallest visible share at which an embedding is added to the mean."""


@dataclass(frozen=True, eq=False)
class Observation:
    """Object of one result.

    Attributes:
        index: Index of its segment.
        label_id: Class.
        score: Score from 0 to 1; None if the result has none.
        mask: Mask.
        size: Square root of the area in pixels.
        box: First column and row, and those after the last.
        embedding: Normalised query embedding, if known.
    """

    index: int
    label_id: int
    score: float | None
    mask: CompactMask
    size: float
    box: Float[np.ndarray, "4"]
    embedding: Float[np.ndarray, " c"] | None

    @classmethod
    def from_segment(
        cls,
        index: int,
        segment: Segment,
        factor: int,
        embedding: Float[np.ndarray, " c"] | None,
    ) -> "Observation":
        """Describe a segment; `factor` is that by which masks are subsampled."""
        if embedding is not None:
            embedding = embedding / max(float(np.linalg.norm(embedding)), 1e-12)
        return cls(
            index,
            segment.label_id,
            segment.score,
            CompactMask.from_run_length(segment.rle, factor),
            segment.area**0.5,
            np.array(segment.box),
            embedding,
        )


class Track:
    """Object that is followed through results.

    Args:
        first: First observation.

    Attributes:
        id: Id, None until the track is confirmed.
        hits: Number of observations.
        missing: Number of steps since the last observation.
    """

    def __init__(self, first: Observation) -> None:
        self.id: int | None = None
        self.hits = 1
        self.missing = 0.0
        self.mask = first.mask
        self.size = first.size
        self.extent = first.box[2:] - first.box[:2]
        self.motion = Motion((first.box[:2] + first.box[2:]) / 2, first.size)
        self.last_position = self.motion.position
        self.embedding = first.embedding
        self.class_scores: defaultdict[int, float] = defaultdict(float)
        self.class_scores[first.label_id] = first.score or 1.0

    @property
    def label_id(self) -> int:
        """Class with the largest sum of scores."""
        return max(self.class_scores, key=lambda label: self.class_scores[label])

    @property
    def shift(self) -> Float[np.ndarray, " 2"]:
        """Predicted columns and rows in pixels from the last observation to the present."""
        return self.motion.position - self.last_position

    def predict(self, step: float) -> None:
        """Move the predicted position forward by a number of steps."""
        self.missing += step
        self.motion.predict(step, self.size)

    def measure(
        self, boxes: Float[np.ndarray, "n 4"]
    ) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
        """Return the positions that boxes of this object imply, and their standard deviations.

        A box smaller than the object, which is partly hidden, allows an interval of positions, as
        does a larger one, when more of the object becomes visible. The one closest to the
        prediction is taken: the middle of the box moves at another speed than the object.

        Args:
            boxes: First column and row, and those after the last, of each observation.
        """
        ends = np.stack([boxes[:, 2:] - self.extent / 2, boxes[:, :2] + self.extent / 2])
        lowest, highest = ends.min(0), ends.max(0)
        position = self.motion.position.clip(lowest, highest)
        is_inside = (self.motion.position > lowest) & (self.motion.position < highest)
        noise = POSITION_NOISE * self.size + MIN_NOISE
        return position, noise + INTERVAL_NOISE * is_inside * (highest - lowest)

    def update(self, observation: Observation) -> None:
        """Continue the track by an observation."""
        position, noise = self.measure(observation.box[None])
        self.motion.update(position[0], noise[0])
        extent = observation.box[2:] - observation.box[:2]
        middle = (observation.box[:2] + observation.box[2:]) / 2
        # The position is that of the middle of the known extent.
        self.motion.position = np.where(extent > self.extent, middle, self.motion.position)
        self.extent = np.maximum(extent, EXTENT_DECAY * self.extent)
        self.last_position = self.motion.position
        visible = (observation.size / self.size) ** 2
        if observation.embedding is not None and visible >= MIN_VISIBLE:
            mean = observation.embedding
            if self.embedding is not None:
                mean = EMBEDDING_MEMORY * self.embedding + (1 - EMBEDDING_MEMORY) * mean
            self.embedding = mean / max(float(np.linalg.norm(mean)), 1e-12)
        self.size = max(observation.size, EXTENT_DECAY * self.size)
        self.mask = observation.mask
        self.class_scores[observation.label_id] += observation.score or 1.0
        self.hits += 1
        self.missing = 0.0
