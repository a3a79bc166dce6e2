"""Linking of objects through overlapping clips of a video, by the frames that two clips share."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from unimask.results.clip_object import ClipObject
from unimask.tracking.compact_mask import CompactMask, subsampling_factor

MIN_SIMILARITY = 0.3
"""Smallest similarity of objects that are linked."""

OTHER_CLASS = 0.5
"""Factor of the similarity of objects of different classes."""

FrameMasks = list[CompactMask | None]
"""Mask of an object in some frames; None where it is not visible."""


class ClipLinker:
    """Linking of the objects of consecutive clips, which keep their ids.

    Objects are matched by the IoU of their masks over all shared frames together (Hungarian
    assignment). Ids are never reused.
    """

    def __init__(self) -> None:
        self.last_id = 0
        self.ids: list[int] = []
        self.objects: Sequence[ClipObject] = []

    def link(self, objects: Sequence[ClipObject], shared: int) -> list[int]:
        """Add the next clip and return the track id of each of its objects.

        Args:
            objects: Objects of the clip.
            shared: Number of first frames of the clip that are the last ones of the clip before.
        """
        earlier = [
            frame_masks(item, slice(len(item.masks) - shared, None)) for item in self.objects
        ]
        later = [frame_masks(item, slice(shared)) for item in objects]
        similarity = np.zeros((len(earlier), len(later)))
        for row, masks in enumerate(earlier):
            for column, others in enumerate(later):
                same = self.objects[row].label_id == objects[column].label_id
                similarity[row, column] = (1 if same else OTHER_CLASS) * tube_iou(masks, others)
        matches = match(similarity)
        ids = []
        for column in range(len(objects)):
            if column in matches:
                ids.append(self.ids[matches[column]])
            else:
                self.last_id += 1
                ids.append(self.last_id)
        self.ids, self.objects = ids, objects
        return ids


def match(similarity: Float[np.ndarray, "n m"]) -> dict[int, int]:
    """Return the row that is assigned to each column, where they are similar enough."""
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    return {
        column: row
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if similarity[row, column] >= MIN_SIMILARITY
    }


def frame_masks(item: ClipObject, frames: slice) -> FrameMasks:
    """Return the masks of an object in some frames of its clip."""
    return [
        CompactMask.from_run_length(rle, subsampling_factor(rle.size)) if rle.area else None
        for rle in item.masks[frames]
    ]


def tube_iou(masks: FrameMasks, others: FrameMasks) -> float:
    """Compute the intersection over union of two objects, summed over frames."""
    areas = sum(mask.area for mask in (*masks, *others) if mask is not None)
    both = sum(
        mask.intersection(other)
        for mask, other in zip(masks, others, strict=True)
        if mask is not None and other is not None
    )
    return both / (areas - both) if areas else 0.0
