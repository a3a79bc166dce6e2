"""Segments of an image: masks with classes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet


@dataclass(frozen=True, eq=False)
class Segment:
    """One segment of an image: a mask with a class.

    Attributes:
        id: Number of the segment within the result, from 1.
        label: Name of the class.
        label_id: Index of the class.
        is_thing: True for a thing (a countable object), False for stuff.
        score: Confidence from 0 to 1; None for semantic segments.
        area: Number of pixels.
        box: Bounding box x0, y0, x1, y1 in pixels; x1 and y1 are exclusive.
        rle: Mask as run lengths, at the size of the image.
        queries: Indices of the network's queries that predicted the segment; empty for semantic
            segments, and where they are unknown.
        track_id: Id of the object in a sequence of images; None for single images, and for objects
            that a tracker has not confirmed yet.

    Example:
        >>> import numpy as np
        >>> from unimask.formats.run_length import RunLength
        >>> from unimask.labels import LabelSet
        >>> from unimask.results import Segment
        >>> rle = RunLength.from_mask(np.array([[True, True], [False, True]]))
        >>> labels = LabelSet(("cell",), (True,))
        >>> segment = Segment.from_rle(labels, 0, rle, id=1, score=0.9)
        >>> segment.label, segment.area, segment.box
        ('cell', 3, (0.0, 0.0, 2.0, 2.0))
        >>> segment.mask.sum(axis=1)
        array([2, 1])
    """

    id: int
    label: str
    label_id: int
    is_thing: bool
    score: float | None
    area: int
    box: tuple[float, float, float, float]
    rle: RunLength
    queries: tuple[int, ...] = ()
    track_id: int | None = None

    @classmethod
    def from_rle(
        cls,
        labels: LabelSet,
        label_id: int,
        rle: RunLength,
        *,
        id: int,
        score: float | None,
        queries: tuple[int, ...] = (),
    ) -> "Segment":
        """Create a segment from its mask, from which area and box are computed."""
        return cls(
            id=id,
            label=labels.names[label_id],
            label_id=label_id,
            is_thing=labels.is_thing[label_id],
            score=score,
            area=rle.area,
            box=rle.box,
            rle=rle,
            queries=queries,
        )

    @property
    def mask(self) -> Bool[np.ndarray, "h w"]:
        """Binary mask at the size of the image."""
        return self.rle.to_mask()


class Candidate(NamedTuple):
    """A class and score that stayed below the thresholds."""

    label: str
    score: float
