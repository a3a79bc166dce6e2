"""Use of the value range by an image, and warnings if an image uses little of it."""

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
"""Number of values converted at a time, to keep temporary arrays small."""

SAMPLE_VALUES = 2**18
"""Number of evenly spaced values from which percentiles are estimated."""

SAMPLE_PERCENTILES = (0.1, 99.9)
"""Percentiles that bound the bulk of an image, so that a few hot or dead pixels have no effect."""

MIN_BULK_FRACTION = 0.25
"""Share of the range below which an image's bulk loses two or more of its eight bits."""

MAX_BLACK_LEVEL = 1
"""8-bit value of the brightest pixel up to which an image counts as black."""


class ImageWarning(UnimaskWarning):
    """Warning that an image was changed or lost information when it was read."""


class RangeWarning(ImageWarning):
    """Warning that an image's values use little of the range mapped to 0..255, or exceed it.

    Args:
        name: Name of the image.
        kind: Effect on the image.
        used: Smallest and largest value; for clipped images the clipped share, twice.
        window: Values mapped to 0 and 255.
    """

    def __init__(
        self, name: str, kind: Kind, used: tuple[float, float], window: tuple[float, float]
    ) -> None:
        super().__init__(name, kind, used, window)
        self.name, self.kind, self.used, self.window = name, kind, used, window

    def __str__(self) -> str:
        return format_range_warnings([self])


class Extent(NamedTuple):
    """Extremes of an image's values (lowest, highest), and bounds of their bulk (low, high)."""

    lowest: float
    highest: float
    low: float
    high: float


def strip_slices(values: Shaped[np.ndarray, "h w ..."]) -> Iterator[slice]:
    """Divide an image into slices of rows with about `STRIP_VALUES` values each."""
    rows = max(1, STRIP_VALUES // max(1, values[:1].size))
    for top in range(0, len(values), rows):
        yield slice(top, top + rows)
        pages = getattr(values, "_mmap", None)  # of a memory-mapped array
        if pages is not None and hasattr(pages, "madvise"):
            pages.madvise(mmap.MADV_DONTNEED)  # pages already read would count as memory


def measure_extent(values: Shaped[np.ndarray, "h w c"]) -> Extent:
    """Measure the extremes and the bulk of an image; NaN if a value is NaN."""
    bounds = [(float(part.min()), -float(part.max())) for part in iterate_strips(values)]
    lowest, highest = np.array(bounds).min(axis=0) * (1, -1)
    step = max(1, values.size // SAMPLE_VALUES)
    if values.flags.c_contiguous:
        sample = np.asarray(values).reshape(-1)[::step]
    else:
        sample = np.asarray(values[:: min(step, 8)]).reshape(-1)
    low, high = np.percentile(sample.astype(np.float64), SAMPLE_PERCENTILES)
    if low == high:  # nearly one value: use the few others
        low, high = lowest, highest
    if values.dtype.kind != "f":
        low, high = np.floor(low), np.ceil(high)
    return Extent(float(lowest), float(highest), float(low), float(high))


def iterate_strips(values: Shaped[np.ndarray, "h w c"]) -> Iterator[Shaped[np.ndarray, "i w c"]]:
    """Yield an image as arrays of some rows each."""
    return (np.asarray(values[rows]) for rows in strip_slices(values))


def find_range_warning(
    extents: Sequence[Extent], window: tuple[float, float], name: str
) -> RangeWarning | None:
    """Return the warning for an image that becomes black, dark or flat, if it does.

    Args:
        extents: Extent of the image, or of each channel; one dark channel is enough.
        window: Values mapped to 0 and 255.
        name: Name of the image.
    """
    varied = [extent for extent in extents if extent.lowest < extent.highest]
    if not varied:
        return None  # constant: no window would show more
    bottom, width = window[0], window[1] - window[0]
    brightest = max(round(255 * (extent.highest - bottom) / width) for extent in varied)
    low_contrast = [
        e
        for e in varied
        if window_position(e.high, window) - window_position(e.low, window) < MIN_BULK_FRACTION
    ]
    dark = [
        extent
        for extent in low_contrast
        if window_position(extent.high, window) < MIN_BULK_FRACTION
    ]
    if brightest <= MAX_BLACK_LEVEL:
        return RangeWarning(name, "black", joint_bounds(varied), window)
    if dark:
        return RangeWarning(name, "dark", joint_bounds(dark), window)
    return RangeWarning(name, "flat", joint_bounds(low_contrast), window) if low_contrast else None


def window_position(value: float, window: tuple[float, float]) -> float:
    """Return the position of a value between black (0) and white (1), clipped."""
    return min(max((value - window[0]) / (window[1] - window[0]), 0.0), 1.0)


def joint_bounds(extents: Sequence[Extent]) -> tuple[float, float]:
    """Return the joint bounds of several bulks."""
    return min(extent.low for extent in extents), max(extent.high for extent in extents)


def format_range_warnings(range_warnings: Sequence[RangeWarning]) -> str:
    """Format warnings of one kind and window as one line."""
    first, count = range_warnings[0], len({warning.name for warning in range_warnings})
    low, high = min(w.used[0] for w in range_warnings), max(w.used[1] for w in range_warnings)
    subject = first.name if count == 1 else f"{count} images, the first {first.name}"
    if first.kind == "clipped":
        prefix = "" if count == 1 else "up to "
        return (
            f"{subject}: {prefix}{high:.1%} of the values lie outside "
            f"{format_number(first.window[0])},{format_number(first.window[1])} and were clipped"
        )
    effects = {
        "black": f"become black, at most {to_8_bit(high, first.window)} of 255",
        "dark": f"become nearly black, at most {to_8_bit(high, first.window)} of 255",
        "flat": f"become nearly one grey, {to_8_bit(low, first.window)} to "
        f"{to_8_bit(high, first.window)} of 255",
    }
    window = ",".join(map(format_number, suggest_window(low, high)))
    used, available = (
        f"from {format_number(start)} to {format_number(end)}"
        for start, end in ((low, high), first.window)
    )
    return (
        f"{subject}: the values {used} use little of the range {available} and "
        f"{effects[first.kind]}: pass "
        f"--window {window} or --window auto (window= in Python)"
    )


def to_8_bit(value: float, window: tuple[float, float]) -> int:
    """Return the 8-bit value that a value is mapped to."""
    return round(255 * window_position(value, window))


def suggest_window(low: float, high: float) -> tuple[float, float]:
    """Suggest a window; for integers from 0 it is the full range of their number of bits."""
    if not (low >= 0 and low < high / 2 and low == int(low) and high == int(high)):
        return low, high
    return 0.0, float(2 ** int(high).bit_length() - 1)


def format_number(value: float) -> str:
    """Format a number without needless digits."""
    return str(int(value)) if value == int(value) else f"{value:.6g}"


@contextmanager
def collect_range_warnings() -> Iterator[list[RangeWarning]]:
    """Collect the range warnings of all threads instead of printing them.

    Like `warnings.catch_warnings`, it changes global state: use it in commands, not in library
    functions that are called from several threads.
    """
    collected: list[RangeWarning] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", RangeWarning)
        show = warnings.showwarning

        def collect(message: Warning | str, *rest: object, **more: object) -> None:
            if isinstance(message, RangeWarning):
                collected.append(message)
            else:
                show(message, *rest, **more)  # type: ignore[arg-type]

        warnings.showwarning = collect
        yield collected


@contextmanager
def ignore_range_warnings() -> Iterator[None]:
    """Suppress range warnings in this process and its forks; see `collect_range_warnings`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RangeWarning)
        yield


def group_range_warnings(range_warnings: Sequence[RangeWarning]) -> list[list[RangeWarning]]:
    """Group warnings that one line can describe: equal kind and window."""
    groups: defaultdict[tuple[str, tuple[float, float]], list[RangeWarning]] = defaultdict(list)
    for warning in sorted(range_warnings, key=lambda warning: warning.name):
        groups[warning.kind, warning.window].append(warning)
    return list(groups.values())
