"""Observed objects, and the tracks that they continue."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from unimask.results import Segment
from unimask.tracking.compact_mask import CompactMask

EMBEDDING_MEMORY = 0.9
"""Weight of the earlier mean in the exponential mean of embeddings."""

MIN_VISIBLE = 0.5
"""Smallest visible share at which an embedding is added to the mean."""

Embedding = Float[np.ndarray, " c"]


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
    box: tuple[float, float, float, float]
    embedding: Embedding | None

    @classmethod
    def from_segment(
        cls, index: int, segment: Segment, factor: int, embedding: Embedding | None
    ) -> "Observation":
        """Describe a segment; `factor` is that by which masks are subsampled."""
        return cls(
            index,
            segment.label_id,
            segment.score,
            CompactMask.from_run_length(segment.rle, factor),
            segment.area**0.5,
            segment.box,
            None if embedding is None else normalise(embedding),
        )


class Track:
    """Object that is followed through results; its place is a row of `Places`.

    Args:
        first: First observation.

    Attributes:
        id: Id, None until the track is confirmed.
        hits: Number of observations.
        missing: Number of steps since the last observation.
        mask: Last mask.
        embedding: Exponential mean of the query embeddings, if known.
        label_id: Class with the largest sum of scores.
    """

    def __init__(self, first: Observation) -> None:
        self.id: int | None = None
        self.hits = 1
        self.missing = 0.0
        self.mask = first.mask
        self.embedding = first.embedding
        self.label_id = first.label_id
        self.class_scores: defaultdict[int, float] = defaultdict(float)
        self.class_scores[first.label_id] = first.score or 1.0

    def update(self, observation: Observation, size: float) -> None:
        """Continue the track by an observation.

        Args:
            observation: Observation.
            size: Square root of the object's area in pixels, hidden parts included.
        """
        visible = (observation.size / size) ** 2
        if observation.embedding is not None and visible >= MIN_VISIBLE:
            mean = observation.embedding
            if self.embedding is not None:
                mean = EMBEDDING_MEMORY * self.embedding + (1 - EMBEDDING_MEMORY) * mean
            self.embedding = normalise(mean)
        self.mask = observation.mask
        self.class_scores[observation.label_id] += observation.score or 1.0
        self.label_id = max(self.class_scores, key=self.class_scores.__getitem__)
        self.hits += 1
        self.missing = 0.0


def normalise(vector: Embedding) -> Embedding:
    """Scale a vector to length 1."""
    return vector / max(float(np.dot(vector, vector)) ** 0.5, 1e-12)


def stack_boxes(observations: Sequence[Observation]) -> Float[np.ndarray, "n 4"]:
    """Return the boxes of observations as an array."""
    return np.array([item.box for item in observations]).reshape(-1, 4)


def stack_sizes(observations: Sequence[Observation]) -> Float[np.ndarray, " n"]:
    """Return the sizes of observations as an array."""
    return np.array([item.size for item in observations])
