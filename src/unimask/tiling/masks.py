"""Masks of objects as run lengths of their boxes, placed within a large image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from unimask.formats.run_length import RunLength
from unimask.tiling.windows import TileWindow, enclosing_window

LARGE_BOX = 2**24
"""Number of pixels of a box above which masks are not decoded whole for a part."""


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
        if self.window.height * self.window.width > LARGE_BOX:
            return RunLength.from_runs(mask.shape, *self.runs_within(window)).to_mask()
        if common is not None:
            mask[common.slices_within(window)] = self.rle.to_mask()[
                common.slices_within(self.window)
            ]
        return mask

    def to_image(self, size: tuple[int, int]) -> RunLength:
        """Return the mask as run lengths of an image of a height and width."""
        return RunLength.from_runs(size, *self.runs_within(TileWindow(0, 0, *size)))

    def runs_within(
        self, window: TileWindow
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Return the runs of a window's pixels: their starts (column-major) and lengths."""
        starts, lengths = self.rle.runs
        height = self.window.height
        ends = starts + lengths
        first, last = starts // height, (ends - 1) // height
        # A run that continues in the next column of the box has one part in each column.
        counts = last - first + 1
        run = np.repeat(np.arange(len(starts)), counts)
        column = first[run] + np.arange(len(run)) - np.repeat(counts.cumsum() - counts, counts)
        top, left = self.window.row - window.row, self.window.column - window.column
        begin = np.maximum(starts[run] - column * height, 0) + top
        end = np.minimum(ends[run] - column * height, height) + top
        begin, end = begin.clip(0, window.height), end.clip(0, window.height)
        column = column + left
        is_inside = (end > begin) & (column >= 0) & (column < window.width)
        begin, end, column = begin[is_inside], end[is_inside], column[is_inside]
        return column * window.height + begin, end - begin


def unite(masks: Sequence[PlacedMask]) -> PlacedMask:
    """Return the union of masks."""
    if len(masks) == 1:
        return masks[0]
    window = enclosing_window([mask.window for mask in masks])
    runs = [mask.runs_within(window) for mask in masks]
    starts = np.concatenate([part for part, _ in runs])
    ends = starts + np.concatenate([part for _, part in runs])
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    is_first = np.concatenate([[True], starts[1:] > ends[:-1]])
    is_last = np.concatenate([is_first[1:], [True]])
    starts, ends = starts[is_first], ends[is_last]
    rle = RunLength.from_runs((window.height, window.width), starts, ends - starts)
    return PlacedMask(window, rle)


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
