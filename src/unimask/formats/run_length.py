"""Run lengths of masks in COCO's order: column by column, zeros first."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from unimask.errors import DataError


@dataclass(frozen=True, eq=False)
class RunLength:
    """One mask as lengths of alternating runs of zeros and ones.

    Attributes:
        size: Height and width.
        counts: Lengths, down the columns; the first run is of zeros and may be empty.
    """

    size: tuple[int, int]
    counts: np.ndarray

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RunLength)
            and self.size == other.size
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]

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
        """Encode from the runs of ones: where each starts (column-major) and how long it is.

        Runs are in order and do not overlap; runs that touch are joined.
        """
        ends = starts + lengths
        joined = np.flatnonzero(starts[1:] == ends[:-1])
        starts, ends = np.delete(starts, joined + 1), np.delete(ends, joined)
        total = size[0] * size[1]
        bounds = np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [total]])
        counts = np.diff(bounds)
        if len(counts) > 1 and counts[-1] == 0:
            counts = counts[:-1]
        return cls(size, counts.astype(np.uint32))

    def to_mask(self) -> Bool[np.ndarray, "h w"]:
        """Decode the mask."""
        values = np.arange(len(self.counts)) % 2 == 1
        flat = np.repeat(values, self.counts)
        return flat.reshape(self.size[1], self.size[0]).T

    @property
    def runs(self) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Starts and lengths of the runs of ones, column-major."""
        starts = np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)])[:-1]
        lengths = self.counts.astype(np.int64)
        ones = np.arange(len(self.counts)) % 2 == 1
        kept = ones & (lengths > 0)
        return starts[kept], lengths[kept]

    @cached_property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(self.counts[1::2].sum(dtype=np.int64))

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """The smallest box around the mask: x0, y0, x1, y1 in pixels, ends exclusive.

        All zeros where the mask is empty.
        """
        starts, lengths = self.runs
        if not len(starts):
            return (0.0, 0.0, 0.0, 0.0)
        height = self.size[0]
        last = starts + lengths - 1
        x0, x1 = starts[0] // height, last[-1] // height
        crosses = last // height > starts // height
        if crosses.any():
            y0, y1 = 0, height - 1
        else:
            y0, y1 = (starts % height).min(), (last % height).max()
        return (float(x0), float(y0), float(x1 + 1), float(y1 + 1))

    def to_coco(self) -> dict[str, object]:
        """Give COCO's compressed form, as pycocotools writes it."""
        return {"size": list(self.size), "counts": compress(self.counts)}

    @classmethod
    def from_coco(cls, coco: dict[str, object]) -> "RunLength":
        """Read COCO's form, compressed or as a list of counts.

        Raises:
            DataError: The counts do not add up to the size.
        """
        height, width = (int(side) for side in coco["size"])  # type: ignore[attr-defined]
        counts = coco["counts"]
        if isinstance(counts, bytes):
            counts = counts.decode("ascii")
        numbers = expand(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
        if (numbers < 0).any() or numbers.sum() != height * width:
            raise DataError(f"run lengths do not add up to {height} x {width} pixels; rewrite them")
        return cls((height, width), numbers.astype(np.uint32))


def compress(counts: np.ndarray) -> str:
    """Write counts as COCO does: differences to the count before last, in base-32 digits."""
    numbers = counts.astype(np.int64)
    numbers[3:] -= counts[1:-2].astype(np.int64)
    text = bytearray()
    for value in numbers.tolist():
        more = True
        while more:
            digit = value & 31
            value >>= 5
            more = value != (-1 if digit & 16 else 0)
            text.append(48 + (digit | 32 if more else digit))
    return text.decode("ascii")


def expand(text: str) -> np.ndarray:
    """Read what `compress` wrote.

    Raises:
        DataError: The text ends within a number.
    """
    numbers: list[int] = []
    value = shift = 0
    for code in text.encode("ascii"):
        digit = code - 48
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value |= -1 << shift
        numbers.append(value + numbers[-2] if len(numbers) > 2 else value)
        value = shift = 0
    if shift:
        raise DataError("compressed run lengths end within a number; rewrite them")
    return np.asarray(numbers, np.int64)


def run_lengths_of_ids(ids: Int[np.ndarray, "h w"]) -> dict[int, RunLength]:
    """Encode every segment of an id map in one pass; 0 is nobody."""
    size = (ids.shape[0], ids.shape[1])
    flat = ids.ravel(order="F")
    if not flat.size:
        return {}
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.concatenate([starts, [flat.size]]))
    owners = flat[starts]
    order = np.argsort(owners, kind="stable")
    names, first = np.unique(owners[order], return_index=True)
    groups = np.split(order, first[1:])
    return {
        int(name): RunLength.from_runs(size, starts[group], lengths[group])
        for name, group in zip(names, groups, strict=True)
        if name != 0
    }
