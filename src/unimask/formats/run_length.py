"""Run lengths of masks in COCO's order: column-major, zeros first."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer

from unimask.errors import DataError
from unimask.formats.json_values import abbreviate

FORMAT_HINT = 'a run length is {"size": [h, w], "counts": ...}: rewrite it'

MAX_PIXELS = 2**31 - 1
"""Maximum number of pixels of a mask, which differences of counts in 32 bits can express."""

MAX_DIGITS = 7
"""Number of base-32 digits of the largest difference of two 32-bit counts."""


@dataclass(frozen=True, eq=False)
class RunLength:
    """A mask as lengths of alternating runs of zeros and ones.

    Attributes:
        size: Height and width in pixels.
        counts: Lengths in column-major order, uint32; the first run is of zeros and may be empty.
    """

    size: tuple[int, int]
    counts: np.ndarray

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RunLength)
            and self.size == other.size
            and np.array_equal(self.counts, other.counts)
        )

    @classmethod
    def from_mask(cls, mask: Bool[np.ndarray, "h w"]) -> "RunLength":
        """Encode a mask."""
        flat = np.asarray(mask, dtype=bool).ravel(order="F")
        edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        bounds = np.concatenate([[0], edges, [flat.size]])
        counts = np.diff(bounds)
        if flat.size and flat[0]:
            counts = np.concatenate([[0], counts])
        height, width = mask.shape
        return cls((height, width), counts.astype(np.uint32))

    @classmethod
    def from_runs(
        cls, size: tuple[int, int], starts: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " n"]
    ) -> "RunLength":
        """Encode a mask from its runs of ones: their starts (column-major) and lengths in pixels.

        Runs must be sorted and must not overlap; adjacent runs are joined.
        """
        ends = starts + lengths
        adjacent = np.flatnonzero(starts[1:] == ends[:-1])
        starts, ends = np.delete(starts, adjacent + 1), np.delete(ends, adjacent)
        total = size[0] * size[1]
        bounds = np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [total]])
        counts = np.diff(bounds)
        if len(counts) > 1 and counts[-1] == 0:
            counts = counts[:-1]
        return cls(size, counts.astype(np.uint32))

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """Decode to a binary mask."""
        values = np.arange(len(self.counts)) % 2 == 1
        flat = np.repeat(values, self.counts)
        return flat.reshape(self.size[1], self.size[0]).T

    @property
    def runs(self) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Starts and lengths of the runs of ones, in column-major order."""
        lengths = self.counts[1::2].astype(np.int64)
        starts = self.counts.cumsum(dtype=np.int64)[: 2 * len(lengths) : 2]
        if lengths.all():
            return starts, lengths
        return starts[lengths > 0], lengths[lengths > 0]

    @property
    def span(self) -> tuple[int, Bool[np.ndarray, " n"]]:
        """Position of the first one (column-major), and the mask from there to the last one."""
        part = self.counts[1 : len(self.counts) - len(self.counts) % 2]
        start = int(self.counts[0]) if len(part) else 0
        return start, np.repeat(np.arange(len(part)) % 2 == 0, part)

    @cached_property
    def area(self) -> int:
        """Number of pixels of the mask."""
        return int(self.counts[1::2].sum(dtype=np.int64))

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Bounding box x0, y0, x1, y1 in pixels; x1 and y1 are exclusive.

        All zeros if the mask is empty.
        """
        starts, lengths = self.runs
        if not len(starts):
            return (0.0, 0.0, 0.0, 0.0)
        height = self.size[0]
        x0, x1 = starts[0] // height, (starts[-1] + lengths[-1] - 1) // height
        tops = starts % height
        bottoms = tops + lengths
        y0, y1 = tops.min(), bottoms.max()
        if y1 > height:  # A run continues in the next column.
            y0, y1 = 0, height
        return (float(x0), float(y0), float(x1 + 1), float(y1))

    def to_coco(self) -> dict[str, object]:
        """Return COCO's compressed run-length encoding, as pycocotools writes it."""
        return {"size": list(self.size), "counts": compress_counts(self.counts)}

    @classmethod
    def from_coco(cls, coco: Mapping[str, Any]) -> "RunLength":
        """Parse COCO's run-length encoding, compressed or as a list of counts.

        Sums are compared as Python integers: in 64-bit arithmetic, the sum of huge counts could
        overflow and equal the size.

        Raises:
            DataError: Size or counts are missing, or the counts do not add up to the size.
        """
        try:
            height, width = parse_size(coco["size"])
            counts = coco["counts"]
        except (KeyError, TypeError):
            raise DataError(FORMAT_HINT) from None
        if isinstance(counts, bytes):
            counts = counts.decode("utf-8", "replace")
        pixels = height * width
        numbers = (
            decompress_counts(counts) if isinstance(counts, str) else parse_counts(counts, pixels)
        )
        # Counts are at most the size of the image and fewer than 2^31, so that no sum overflows.
        fits = not len(numbers) or (numbers.min() >= 0 and numbers.max() <= pixels)
        if not fits or int(numbers.sum()) != pixels:
            raise DataError(f"run lengths do not add up to {height} x {width} pixels; rewrite them")
        return cls((height, width), numbers.astype(np.uint32))


def parse_size(size: object) -> tuple[int, int]:
    """Parse a height and a width, which may be floats of integer value.

    Raises:
        DataError: They are not two sides of an image whose pixels 32 bits can count.
    """
    sides = list(size) if isinstance(size, list | tuple | np.ndarray) else []
    whole = [int(side) for side in sides if is_count(side, MAX_PIXELS)]
    if len(sides) != 2 or len(whole) != 2:
        raise DataError(FORMAT_HINT)
    if whole[0] * whole[1] > MAX_PIXELS:
        raise DataError(f"{whole[0]} x {whole[1]} pixels are too many for a mask")
    return whole[0], whole[1]


def parse_counts(counts: object, pixels: int) -> Int[np.ndarray, " n"]:
    """Convert a list of counts to an array.

    Raises:
        DataError: It is not a list of counts from 0 to `pixels`.
    """
    if isinstance(counts, np.ndarray):
        counts = counts.tolist()
    if not isinstance(counts, list | tuple):
        raise DataError(FORMAT_HINT)
    plain = set(map(type, counts)) <= {int} and min(counts, default=0) >= 0
    if not (plain and max(counts, default=0) <= pixels):
        for count in counts:
            if not is_count(count, pixels):
                raise DataError(
                    f"the run length {abbreviate(count)} is no whole number of up to {pixels} "
                    "pixels; rewrite the mask"
                )
    return np.array(counts, np.int64)


def is_count(value: object, maximum: int) -> bool:
    """Return whether a value is an integer from 0 to `maximum`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return False
    return bool(0 <= value <= maximum and value == int(value))


def compress_counts(counts: Integer[np.ndarray, " n"]) -> str:
    """Encode counts as COCO does: differences to the count before last, in base-32 digits.

    The lowest digit comes first; the sixth bit marks all but the last digit of a number, and the
    fifth bit of the last digit is the sign.
    """
    numbers = counts.astype(np.int64)
    numbers[3:] -= counts[1:-2].astype(np.int64)
    places = np.arange(MAX_DIGITS)
    digits = numbers[:, None] >> (5 * places) & 31
    # A number fits n digits if all its bits from the sign bit of the last digit upwards are equal.
    fits = (numbers[:, None] >> (5 * places + 4) == 0) | (
        numbers[:, None] >> (5 * places + 4) == -1
    )
    last = fits.argmax(1)[:, None]
    codes = 48 + (digits | np.where(places < last, 32, 0))
    return codes[places <= last].astype(np.uint8).tobytes().decode("ascii")


def decompress_counts(text: str) -> Int[np.ndarray, " n"]:
    """Decode text that `compress_counts` wrote.

    Raises:
        DataError: The text holds foreign characters or ends within a number.
    """
    codes = np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) - 48
    if not len(codes):
        return codes
    last = codes & 32 == 0
    ends = np.flatnonzero(last)
    first = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - first + 1
    if ((codes < 0) | (codes > 63)).any() or not last[-1] or lengths.max() > MAX_DIGITS:
        raise DataError(f"{text[:20]!r} is not a compressed run length: write the mask again")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(first, lengths))
    numbers = np.add.reduceat((codes & 31) << shifts, first)
    numbers -= np.where(codes[ends] & 16, 1, 0) << (5 * lengths)
    numbers[1::2] = numbers[1::2].cumsum()
    numbers[2::2] = numbers[2::2].cumsum()
    return numbers


class Runs(NamedTuple):
    """A map as runs of equal values, in column-major order."""

    values: Integer[np.ndarray, " n"]
    starts: Int[np.ndarray, " n"]
    lengths: Int[np.ndarray, " n"]

    def encode_masks(self, size: tuple[int, int]) -> dict[int, RunLength]:
        """Encode the mask of every value except 0, the background."""
        order = np.argsort(self.values, kind="stable")
        names, first = np.unique(self.values[order], return_index=True)
        groups = np.split(order, first[1:])
        return {
            int(name): RunLength.from_runs(size, self.starts[group], self.lengths[group])
            for name, group in zip(names, groups, strict=False)
            if name != 0
        }


def find_runs(flat: Integer[np.ndarray, " n"]) -> Runs:
    """Split a flattened map into runs of equal values."""
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([np.zeros(min(1, flat.size), edges.dtype), edges])
    lengths = np.diff(starts, append=flat.size)
    return Runs(flat[starts], starts, lengths)


def encode_id_map(ids: Integer[np.ndarray, "h w"]) -> dict[int, RunLength]:
    """Encode every segment of an id map in one pass; 0 is background."""
    return find_runs(ids.ravel(order="F")).encode_masks((ids.shape[0], ids.shape[1]))
