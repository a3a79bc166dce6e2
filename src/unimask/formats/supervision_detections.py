"""Segments as `supervision.Detections`."""

from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from unimask.errors import MissingExtraError


def supervision_detections(
    *,
    boxes: Float[np.ndarray, "n 4"],
    masks: Bool[np.ndarray, "n h w"],
    scores: Float[np.ndarray, " n"],
    label_ids: Int[np.ndarray, " n"],
    names: tuple[str, ...],
) -> Any:
    """Return `supervision.Detections`; those of no segments are `Detections.empty()` with names.

    Args:
        boxes: Boxes x0, y0, x1, y1 in pixels.
        masks: Binary masks.
        scores: Scores from 0 to 1; if one is NaN, `confidence` is None.
        label_ids: Label id of each segment.
        names: Class name of each segment.

    Raises:
        MissingExtraError: `supervision` is not installed.
    """
    try:
        detections = import_module("supervision").Detections
    except ImportError:
        raise MissingExtraError("supervision") from None
    class_names = {"class_name": np.array(names, str)}
    if not len(boxes):
        empty = detections.empty()
        empty.data = class_names
        return empty
    return detections(
        xyxy=boxes.astype(np.float32),
        mask=masks,
        confidence=None if np.isnan(scores).any() else scores.astype(np.float32),
        class_id=label_ids.astype(int),
        data=class_names,
    )
