"""Masks cropped to their boxes, at reduced resolution, for fast comparison."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from unimask.formats.run_length import RunLength

MAX_SIDE = 1024
"""Longer side in pixels above which masks are subsampled."""


@dataclass(frozen=True, eq=False)
class CompactMask:
    """Mask of an object.

    Attributes:
        top: First row of the box, in cells.
        left: First column.
        cells: Mask of the box; a cell is one pixel of every `factor` in both directions.
        area: Number of cells inside the mask.
    """

    top: int
    left: int
    cells: Bool[np.ndarray, "h w"]
    area: int

    @classmethod
    def from_run_length(cls, rle: RunLength, factor: int) -> "CompactMask":
        """Crop and subsample a mask that is not empty.

        A mask between the samples becomes the cell of its centre.
        """
        height = rle.size[0]
        x0, y0, x1, y1 = (int(side) for side in rle.box)
        start, ones = rle.span
        flat = np.zeros((x1 - x0) * height, bool)
        flat[start - x0 * height : start - x0 * height + len(ones)] = ones
        left, top = -(-x0 // factor), -(-y0 // factor)
        columns = flat.reshape(x1 - x0, height)[left * factor - x0 :: factor]
        cells = np.ascontiguousarray(columns[:, top * factor : y1 : factor].T)
        area = int(np.count_nonzero(cells))
        if not area:
            left, top = int((x0 + x1) / 2) // factor, int((y0 + y1) / 2) // factor
            return cls(top, left, np.ones((1, 1), bool), 1)
        return cls(top, left, cells, area)

    def iou(self, other: "CompactMask", down: int = 0, right: int = 0) -> float:
        """Compute the intersection over union with a mask after moving this one.

        Args:
            other: Mask to compare with.
            down: Number of cells by which this mask is moved downwards.
            right: Number of cells by which it is moved to the right.
        """
        both = self.intersection(other, down, right)
        return both / (self.area + other.area - both)

    def intersection(self, other: "CompactMask", down: int = 0, right: int = 0) -> int:
        """Count the cells inside this mask, which is moved first, and another; see `iou`."""
        top, left = self.top + down, self.left + right
        y0, x0 = max(top, other.top), max(left, other.left)
        y1 = min(top + self.cells.shape[0], other.top + other.cells.shape[0])
        x1 = min(left + self.cells.shape[1], other.left + other.cells.shape[1])
        if y1 <= y0 or x1 <= x0:
            return 0
        own_part = self.cells[y0 - top : y1 - top, x0 - left : x1 - left]
        other_part = other.cells[y0 - other.top : y1 - other.top, x0 - other.left : x1 - other.left]
        return int(np.count_nonzero(own_part & other_part))


def subsampling_factor(size: tuple[int, int]) -> int:
    """Return the factor by which masks of an image of this height and width are subsampled."""
    return max(1, -(-max(size) // MAX_SIDE))
