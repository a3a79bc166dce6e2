"""The objects of one picture, found or true, as scores of objects take them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from unimask.formats.run_length import RunLength


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Objects with a class each; they may overlap.

    Attributes:
        label_ids: Class of each.
        areas: Pixels of each, by which COCO calls objects small, medium or large.
        boxes: x0, y0, x1, y1 in pixels around each, ends exclusive.
        masks: Pixels of each; empty where only boxes are known.
        scores: Confidence of each; of no meaning for the truth.
        crowds: Objects that stand for many; none among predictions.
    """

    label_ids: Int[np.ndarray, " n"]
    areas: Float[np.ndarray, " n"]
    boxes: Float[np.ndarray, "n 4"]
    masks: tuple[RunLength, ...]
    scores: Float[np.ndarray, " n"]
    crowds: Bool[np.ndarray, " n"]

    @classmethod
    def of_masks(
        cls,
        masks: Sequence[RunLength],
        label_ids: Sequence[int] | Int[np.ndarray, " n"],
        *,
        scores: Sequence[float] | Float[np.ndarray, " n"] | None = None,
        crowds: Sequence[bool] | Bool[np.ndarray, " n"] | None = None,
        areas: Sequence[float] | Float[np.ndarray, " n"] | None = None,
    ) -> "Objects":
        """Make objects of masks: boxes follow from them, and areas where none are given."""
        count = len(masks)
        if areas is None:
            areas = [mask.area for mask in masks]
        return cls(
            label_ids=np.asarray(label_ids, np.int64),
            areas=np.asarray(areas, np.float64),
            boxes=np.array([mask.box for mask in masks], np.float64).reshape(count, 4),
            masks=tuple(masks),
            scores=np.ones(count) if scores is None else np.asarray(scores, np.float64),
            crowds=np.zeros(count, bool) if crowds is None else np.asarray(crowds, bool),
        )

    @classmethod
    def of_boxes(
        cls,
        boxes: Float[np.ndarray, "n 4"],
        label_ids: Sequence[int] | Int[np.ndarray, " n"],
        *,
        scores: Sequence[float] | Float[np.ndarray, " n"] | None = None,
        crowds: Sequence[bool] | Bool[np.ndarray, " n"] | None = None,
        areas: Sequence[float] | Float[np.ndarray, " n"] | None = None,
    ) -> "Objects":
        """Make objects of boxes alone; their areas are the boxes' where none are given."""
        count = len(boxes)
        if areas is None:
            areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return cls(
            label_ids=np.asarray(label_ids, np.int64),
            areas=np.asarray(areas, np.float64),
            boxes=boxes,
            masks=(),
            scores=np.ones(count) if scores is None else np.asarray(scores, np.float64),
            crowds=np.zeros(count, bool) if crowds is None else np.asarray(crowds, bool),
        )

    def __len__(self) -> int:
        return len(self.label_ids)

    def take(self, rows: Int[np.ndarray, " m"]) -> "Objects":
        """Give some of them, in the order of `rows`."""
        return Objects(
            label_ids=self.label_ids[rows],
            areas=self.areas[rows],
            boxes=self.boxes[rows],
            masks=tuple(self.masks[row] for row in rows) if self.masks else (),
            scores=self.scores[rows],
            crowds=self.crowds[rows],
        )
