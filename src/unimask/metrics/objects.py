"""Predicted or ground-truth objects of one image, the input of object metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from unimask.formats.run_length import RunLength


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Objects with one class each, which may overlap.

    Attributes:
        label_ids: Label id of each object.
        areas: Area of each object in pixels, by which COCO classifies it as small, medium or large.
        boxes: Bounding boxes x0, y0, x1, y1 in pixels; x1 and y1 are exclusive.
        masks: Mask of each object; empty if only boxes are known.
        scores: Confidence of each object from 0 to 1; unused for ground truth.
        crowds: Regions that stand for several objects; none among predictions.
    """

    label_ids: Int[np.ndarray, " n"]
    areas: Float[np.ndarray, " n"]
    boxes: Float[np.ndarray, "n 4"]
    masks: tuple[RunLength, ...]
    scores: Float[np.ndarray, " n"]
    crowds: Bool[np.ndarray, " n"]

    @classmethod
    def from_masks(
        cls,
        masks: Sequence[RunLength],
        label_ids: Sequence[int] | Int[np.ndarray, " n"],
        *,
        scores: Sequence[float] | Float[np.ndarray, " n"] | None = None,
        crowds: Sequence[bool] | Bool[np.ndarray, " n"] | None = None,
        areas: Sequence[float] | Float[np.ndarray, " n"] | None = None,
    ) -> "Objects":
        """Create objects from masks, which determine the boxes and, if not passed, the areas."""
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
    def from_boxes(
        cls,
        boxes: Float[np.ndarray, "n 4"],
        label_ids: Sequence[int] | Int[np.ndarray, " n"],
        *,
        scores: Sequence[float] | Float[np.ndarray, " n"] | None = None,
        crowds: Sequence[bool] | Bool[np.ndarray, " n"] | None = None,
        areas: Sequence[float] | Float[np.ndarray, " n"] | None = None,
    ) -> "Objects":
        """Create objects from boxes, which determine the areas if these are not passed."""
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
        """Select objects, in the order of `rows`."""
        return Objects(
            label_ids=self.label_ids[rows],
            areas=self.areas[rows],
            boxes=self.boxes[rows],
            masks=tuple(self.masks[row] for row in rows) if self.masks else (),
            scores=self.scores[rows],
            crowds=self.crowds[rows],
        )
