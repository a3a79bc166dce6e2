"""Which part of its range the values of an image use, and warnings where that is little of it."""

import mmap
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Shaped

from unimask.errors import UnimaskWarning

Kind = Literal["black", "dark", "flat", "clipped"]

STRIP_VALUES = 2**20
"""Values that are converted at a time, so that temporary arrays stay small."""

SAMPLE_VALUES = 2**18
"""Values that percentiles are estimated from, evenly spaced over the image."""

SAMPLE_PERCENTILES = (0.1, 99.9)
"""Between them lies the bulk of an image: a few hot or dead pixels decide nothing."""

LEAST_SHARE = 0.25
"""An image whose bulk fills less of the range loses two bits or more of its eight."""

BLACK_LEVEL = 1
"""An image whose brightest value becomes this or less shows nothing."""


class PictureWarning(UnimaskWarning):
    """A picture was read, but something of it was changed or lost on the way."""


class RangeWarning(PictureWarning):
    """The values of an image fill little of the range that becomes 0..255, or exceed it.

    Args:
        name: What the image is called.
        kind: What that does to it.
        used: The least and the greatest value; of clipped images the share that is clipped, twice.
        window: The values that become black and white.
    """

    def __init__(
        self, name: str, kind: Kind, used: tuple[float, float], window: tuple[float, float]
    ) -> None:
        super().__init__(name, kind, used, window)
        self.name, self.kind, self.used, self.window = name, kind, used, window

    def __str__(self) -> str:
        return summarise([self])


class Extent(NamedTuple):
    """The values of an image: the extremes, and the bounds of their bulk."""

    lowest: float
    highest: float
    low: float
    high: float


def value_strips(values: Shaped[np.ndarray, "h w c"]) -> Iterator[slice]:
    """Cut an image into groups of rows of about `STRIP_VALUES` values."""
    rows = max(1, STRIP_VALUES // max(1, values[:1].size))
    for top in range(0, len(values), rows):
        yield slice(top, top + rows)
        pages = getattr(values, "_mmap", None)  # of an array that lies in a file
        if pages is not None and hasattr(pages, "madvise"):
            pages.madvise(mmap.MADV_DONTNEED)  # pages that were read count as memory


def measure(values: Shaped[np.ndarray, "h w c"]) -> Extent:
    """Find the extremes and the bulk of an image; NaN where a value is NaN."""
    bounds = [(float(part.min()), -float(part.max())) for part in strips_of(values)]
    lowest, highest = np.array(bounds).min(axis=0) * (1, -1)
    step = max(1, values.size // SAMPLE_VALUES)
    if values.flags.c_contiguous:
        sample = np.asarray(values).reshape(-1)[::step]
    else:
        sample = np.asarray(values[:: min(step, 8)]).reshape(-1)
    low, high = np.percentile(sample.astype(np.float64), SAMPLE_PERCENTILES)
    if low == high:  # nearly empty: the few other values are the image
        low, high = lowest, highest
    if values.dtype.kind != "f":
        low, high = np.floor(low), np.ceil(high)
    return Extent(float(lowest), float(highest), float(low), float(high))


def strips_of(values: Shaped[np.ndarray, "h w c"]) -> Iterator[Shaped[np.ndarray, "i w c"]]:
    """Cut an image into arrays of some rows."""
    return (np.asarray(values[rows]) for rows in value_strips(values))


def range_problem(
    extents: Sequence[Extent], window: tuple[float, float], name: str
) -> RangeWarning | None:
    """Find out whether an image becomes black, dark or flat.

    Args:
        extents: Of the image, or of each of its channels; one bad channel is enough for dark.
        window: The values that become black and white.
        name: What the image is called.
    """
    varied = [extent for extent in extents if extent.lowest < extent.highest]
    if not varied:
        return None  # blank: no window would show more
    bottom, width = window[0], window[1] - window[0]
    brightest = max(round(255 * (extent.highest - bottom) / width) for extent in varied)
    few = [e for e in varied if clipped(e.high, window) - clipped(e.low, window) < LEAST_SHARE]
    dark = [extent for extent in few if clipped(extent.high, window) < LEAST_SHARE]
    if brightest <= BLACK_LEVEL:
        return RangeWarning(name, "black", joint(varied), window)
    if dark:
        return RangeWarning(name, "dark", joint(dark), window)
    return RangeWarning(name, "flat", joint(few), window) if few else None


def clipped(value: float, window: tuple[float, float]) -> float:
    """Return where a value lies between black (0) and white (1)."""
    return min(max((value - window[0]) / (window[1] - window[0]), 0.0), 1.0)


def joint(extents: Sequence[Extent]) -> tuple[float, float]:
    """Return the bounds of several bulks."""
    return min(extent.low for extent in extents), max(extent.high for extent in extents)


def summarise(found: Sequence[RangeWarning]) -> str:
    """Write warnings of one kind and window as one line."""
    first, count = found[0], len({warning.name for warning in found})
    low, high = min(w.used[0] for w in found), max(w.used[1] for w in found)
    subject = first.name if count == 1 else f"{count} images, the first {first.name}"
    if first.kind == "clipped":
        most = "" if count == 1 else "up to "
        return (
            f"{subject}: {most}{high:.1%} of the values lie outside "
            f"{shown(first.window[0])},{shown(first.window[1])} and were clipped"
        )
    effects = {
        "black": f"become black, at most {level(high, first.window)} of 255",
        "dark": f"become nearly black, at most {level(high, first.window)} of 255",
        "flat": f"become nearly one grey, {level(low, first.window)} to "
        f"{level(high, first.window)} of 255",
    }
    window = ",".join(map(shown, suggested(low, high)))
    return (
        f"{subject}: the values from {shown(low)} to {shown(high)} use little of the range from "
        f"{shown(first.window[0])} to {shown(first.window[1])} and {effects[first.kind]}: give "
        f"--window {window} or --window auto (window= in Python)"
    )


def level(value: float, window: tuple[float, float]) -> int:
    """Return the 8-bit value that a value becomes."""
    return round(255 * clipped(value, window))


def suggested(low: float, high: float) -> tuple[float, float]:
    """Return a window that shows values: all values of as many bits where they count from 0."""
    if not (low >= 0 and low < high / 2 and low == int(low) and high == int(high)):
        return low, high
    return 0.0, float(2 ** int(high).bit_length() - 1)


def shown(value: float) -> str:
    """Write a number without needless digits."""
    return str(int(value)) if value == int(value) else f"{value:.6g}"


@contextmanager
def collect_range_warnings() -> Iterator[list[RangeWarning]]:
    """Collect the range warnings of all threads in place of showing them.

    Like `warnings.catch_warnings` it changes the state of the whole process: for commands, not for
    code that others call from several threads.
    """
    found: list[RangeWarning] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", RangeWarning)
        show = warnings.showwarning

        def collect(message: Warning | str, *rest: object, **more: object) -> None:
            if isinstance(message, RangeWarning):
                found.append(message)
            else:
                show(message, *rest, **more)  # type: ignore[arg-type]

        warnings.showwarning = collect
        yield found


@contextmanager
def ignore_range_warnings() -> Iterator[None]:
    """Show no range warnings, in this process and in those that it forks; see above."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RangeWarning)
        yield


def group_range_warnings(found: Sequence[RangeWarning]) -> list[list[RangeWarning]]:
    """Group warnings that one line can tell: of one kind and one window."""
    groups: defaultdict[tuple[str, tuple[float, float]], list[RangeWarning]] = defaultdict(list)
    for warning in sorted(found, key=lambda warning: warning.name):
        groups[warning.kind, warning.window].append(warning)
    return list(groups.values())
