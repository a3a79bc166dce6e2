"""Masks of objects as run lengths of their boxes, placed within a large image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from unimask.formats.run_length import RunLength
from unimask.tiling.windows import TileWindow


@dataclass(frozen=True, eq=False)
class PlacedMask:
    """Mask within an image, stored for its box only.

    Attributes:
        window: Box of the mask within the image.
        rle: Mask of the size of the box.
    """

    window: TileWindow
    rle: RunLength

    @classmethod
    def crop(cls, mask: Bool[np.ndarray, "h w"], row: int, column: int) -> "PlacedMask":
        """Crop a mask, which must not be empty, to its box.

        Args:
            mask: Mask of a part of the image.
            row: First row of that part within the image.
            column: First column of that part within the image.
        """
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        top, left = int(rows[0]), int(columns[0])
        part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
        window = TileWindow(row + top, column + left, *part.shape)
        return cls(window, RunLength.from_mask(part))

    @classmethod
    def from_run_length(cls, rle: RunLength, row: int, column: int) -> "PlacedMask":
        """Crop run lengths, which must not be empty, of a part of the image; see `crop`."""
        start, ones = rle.span
        first, offset = divmod(start, rle.size[0])
        count = -(-(offset + len(ones)) // rle.size[0])
        flat = np.zeros(count * rle.size[0], bool)
        flat[offset : offset + len(ones)] = ones
        return cls.crop(flat.reshape(count, -1).T, row, column + first)

    @property
    def area(self) -> int:
        """Number of pixels of the mask."""
        return self.rle.area

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of the middle of the box."""
        return self.window.row + self.window.height / 2, self.window.column + self.window.width / 2

    def decode(self, window: TileWindow) -> Bool[np.ndarray, "h w"]:
        """Return the mask of the pixels of a window."""
        mask = np.zeros((window.height, window.width), bool)
        common = self.window.intersect(window)
        if common is not None:
            mask[common.slices_within(window)] = self.rle.to_mask()[
                common.slices_within(self.window)
            ]
        return mask

    def to_image(self, size: tuple[int, int]) -> RunLength:
        """Return the mask as run lengths of an image of a height and width."""
        starts, lengths = self.rle.runs
        height = self.window.height
        ends = starts + lengths
        first, last = starts // height, (ends - 1) // height
        # A run that continues in the next column of the box has one part in each column.
        counts = last - first + 1
        run = np.repeat(np.arange(len(starts)), counts)
        column = first[run] + np.arange(len(run)) - np.repeat(counts.cumsum() - counts, counts)
        begin = np.maximum(starts[run], column * height)
        end = np.minimum(ends[run], (column + 1) * height)
        place = (column + self.window.column) * size[0] + self.window.row
        return RunLength.from_runs(size, place + begin - column * height, end - begin)


def unite(masks: Sequence[PlacedMask]) -> PlacedMask:
    """Return the union of masks."""
    if len(masks) == 1:
        return masks[0]
    row = min(mask.window.row for mask in masks)
    column = min(mask.window.column for mask in masks)
    bottom = max(mask.window.bottom for mask in masks)
    right = max(mask.window.right for mask in masks)
    window = TileWindow(row, column, bottom - row, right - column)
    union = np.zeros((window.height, window.width), bool)
    for mask in masks:
        union[mask.window.slices_within(window)] |= mask.rle.to_mask()
    return PlacedMask(window, RunLength.from_mask(union))


def window_iou(first: PlacedMask, second: PlacedMask, window: TileWindow) -> float:
    """Compute the intersection over union of two masks inside a window; 0 if both are empty."""
    one, other = first.window.intersect(window), second.window.intersect(window)
    if one is None or other is None or one.intersect(other) is None:
        return 0.0
    a, b = first.decode(one), second.decode(other)
    common = one.intersect(other)
    assert common is not None
    both = int((a[common.slices_within(one)] & b[common.slices_within(other)]).sum())
    return both / max(1, int(a.sum()) + int(b.sum()) - both)


def area_outside(mask: PlacedMask, window: TileWindow) -> int:
    """Count the pixels of a mask outside of a window."""
    common = mask.window.intersect(window)
    if common == mask.window:
        return 0
    return mask.area - (0 if common is None else int(mask.decode(common).sum()))
