"""Tissue on slides in bright field, so that glass is not segmented."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, UInt8

MAX_CHROMA = 16
"""Largest difference between the channels of a pixel of glass."""

MIN_BRIGHTNESS = 200
"""Smallest value of the darkest channel of a pixel of glass."""

MASK_SIDE = 2048
"""Largest side in pixels of the reduced image in which tissue is detected."""

MARGIN = 3
"""Distance in pixels of the reduced image up to which glass beside tissue counts as tissue."""


def detect_tissue(image: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Return which pixels of a reduced RGB image are tissue or near to it.

    Glass is bright and hardly coloured. Single pixels of other colours count as dust.
    """
    from scipy import ndimage  # imported here because other predictions do not need SciPy

    is_glass = (np.ptp(image, axis=2) <= MAX_CHROMA) & (image.min(axis=2) >= MIN_BRIGHTNESS)
    tissue = ndimage.binary_opening(~is_glass, np.ones((2, 2), bool))
    return ndimage.binary_dilation(tissue, iterations=MARGIN)


class TissueMap:
    """Tissue of an image, detected when it is first needed.

    Args:
        size: Height and width of the image in pixels.
        read_reduced: Function that returns the whole image as RGB with a side of at most
            `MASK_SIDE`.
    """

    def __init__(
        self, size: tuple[int, int], read_reduced: Callable[[], UInt8[np.ndarray, "i j 3"]]
    ) -> None:
        self.size = size
        self.read_reduced = read_reduced
        self.mask: Bool[np.ndarray, "i j"] | None = None

    def read(self, rows: slice, columns: slice) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels of a window are tissue, None if all are."""
        if self.mask is None:
            self.mask = detect_tissue(self.read_reduced())
        height, width = self.mask.shape
        i = np.arange(rows.start, rows.stop) * height // self.size[0]
        j = np.arange(columns.start, columns.stop) * width // self.size[1]
        part = self.mask[i[0] : i[-1] + 1, j[0] : j[-1] + 1]
        if part.all():
            return None
        return part[i - i[0]][:, j - j[0]]
