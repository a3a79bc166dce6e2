"""Confidence of the pixels of a result, computed from what the result keeps of the prediction."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float, Integer

from unimask.errors import SettingsError
from unimask.results.segment import Segment
from unimask.visualization.overlay import paint_runs


class ConfidenceSource(Protocol):
    """What a result keeps to compute the confidence of its pixels."""

    def compute(self, ids: Integer[np.ndarray, "w h"]) -> Float[np.ndarray, "h w"]:
        """Compute the confidence of every pixel from the transposed map of segment ids."""
        ...


def compute_confidence(
    source: ConfidenceSource | None, size: tuple[int, int], segments: Sequence[Segment]
) -> Float[np.ndarray, "h w"]:
    """Compute the confidence of every pixel in the segment that owns it.

    Args:
        source: Data from the prediction; None if there are none.
        size: Height and width of the image in pixels.
        segments: Segments in the order in which they are drawn, the last on top.

    Raises:
        SettingsError: There are no data.
    """
    if source is None:
        raise SettingsError(
            "this result has no confidence, since it was not predicted here, or in tiles, or with "
            "retain_confidence=False: call Predictor.predict for one that has"
        )
    largest = max((segment.id for segment in segments), default=0)
    ids = np.zeros(size[::-1], np.int16 if largest < 2**15 else np.int32)
    for segment in segments:
        paint_runs(ids, segment.id, *segment.rle.runs)
    return source.compute(ids)
