"""Objects of a clip: several frames of a video that are segmented together."""

from dataclasses import dataclass

from unimask.formats.run_length import RunLength


@dataclass(frozen=True, eq=False)
class ClipObject:
    """Object of a clip.

    Attributes:
        label_id: Index of the class.
        score: Probability of the class, 0 to 1.
        query: Index of the query that predicted the object.
        masks: Mask in each frame, at the size of the frames; empty where the object is not visible.
    """

    label_id: int
    score: float
    query: int
    masks: tuple[RunLength, ...]
