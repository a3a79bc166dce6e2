"""Linear mapping of pixel values of any type and range to 0..255."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped, UInt8

from unimask.config import Window
from unimask.errors import ImageError
from unimask.processing.value_ranges import (
    Extent,
    ImageWarning,
    RangeWarning,
    find_range_warning,
    format_number,
    measure_extent,
    strip_slices,
)

PERCENTILES = (0.1, 99.9)
"""Percentiles that "auto" maps to 0 and 255, so that a few hot or dead pixels have no effect."""

DEVIATIONS = 4.0
"""Standard deviations from the mean that "z-score" maps to 0 and 255."""

BLOCK = 1 << 20
"""Number of values of which deviations are computed at once."""

UINT8_WINDOW = (0.0, 255.0)
"""Window that leaves 8-bit values unchanged."""


def stretch(
    values: Shaped[np.ndarray, "h w c"], window: Window, name: str
) -> UInt8[np.ndarray, "h w c"]:
    """Map values linearly to 0..255.

    Warns if values lie outside the window or use little of it.

    Raises:
        ImageError: The window is invalid, or the values have no known range.
    """
    extent = measure_finite_extent(values, name)
    low, high = window_limits(values, extent, window, name)
    is_given = not isinstance(window, str)
    if is_given:
        warn_about_range([extent], (low, high), name)
    return scale([values], [(low, high)], name, warn_if_clipped=is_given)


def stretch_channels(
    values: Shaped[np.ndarray, "h w c"], window: Window, name: str
) -> UInt8[np.ndarray, "h w c"]:
    """Map values to 0..255; each channel on its own with a measured window, as sensors differ."""
    channels = [values[..., i : i + 1] for i in range(values.shape[2])]
    extents = [measure_finite_extent(channel, name) for channel in channels]
    if isinstance(window, str):
        windows = [
            window_limits(channel, extent, window, name)
            for channel, extent in zip(channels, extents, strict=True)
        ]
        return scale(channels, windows, name, warn_if_clipped=False)
    highest = max(extent.highest for extent in extents)
    lowest = min(extent.lowest for extent in extents)
    one = window_limits(values, Extent(lowest, highest, lowest, highest), window, name)
    warn_about_range(extents, one, name)
    return scale([values], [one], name, warn_if_clipped=True)


def apply_window(
    values: Shaped[np.ndarray, "h w c"], window: Window, name: str
) -> UInt8[np.ndarray, "h w c"]:
    """Map a window linearly to 0..255 without warnings about values outside it.

    Equal values become equal whatever their type: all are scaled in float64.

    Raises:
        ImageError: The window is invalid, or values are not real numbers or not finite.
    """
    limits = parse_window(window, name)
    if values.dtype.kind == "f":
        measure_finite_extent(values, name)
    wide = values if values.dtype.itemsize > 2 else values.astype(np.int32)
    return scale([wide], [limits], name, warn_if_clipped=False)


def scale(
    parts: Sequence[Shaped[np.ndarray, "h w _"]],
    windows: Sequence[tuple[float, float]],
    name: str,
    *,
    warn_if_clipped: bool,
) -> UInt8[np.ndarray, "h w c"]:
    """Map groups of channels from their windows to 0..255 in strips of rows."""
    height, width = parts[0].shape[:2]
    scaled = np.zeros((height, width, sum(part.shape[2] for part in parts)), np.uint8)
    first = outside = 0
    for part, (low, high) in zip(parts, windows, strict=True):
        target = scaled[..., first : first + part.shape[2]]
        first += part.shape[2]
        if high <= low:  # "auto" on an image of one value
            continue
        for rows in strip_slices(part):
            strip = np.asarray(part[rows])
            outside += np.count_nonzero((strip < low) | (strip > high)) if warn_if_clipped else 0
            target[rows] = scaled_strip(strip, low, high)
    if outside:
        share = outside / scaled.size
        warn(RangeWarning(name, "clipped", (share, share), windows[0]))
    return scaled


def scaled_strip(
    values: Shaped[np.ndarray, "h w c"], low: float, high: float
) -> UInt8[np.ndarray, "h w c"]:
    """Map values from `low`..`high` to 0..255."""
    precise = np.float64 if values.dtype.itemsize > 2 else np.float32
    scaled = (values.astype(precise) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def measure_finite_extent(values: Shaped[np.ndarray, "h w c"], name: str) -> Extent:
    """Compute the range of values.

    Raises:
        ImageError: The values are not real numbers, or not finite.
    """
    if values.dtype.kind not in "iuf":
        raise ImageError(f"{name} has values of type {values.dtype}: pass integers or floats")
    extent = measure_extent(values)
    if not np.isfinite((extent.lowest, extent.highest)).all():
        raise ImageError(f"{name} has values that are not finite: replace them first")
    return extent


def window_limits(
    values: Shaped[np.ndarray, "h w c"], extent: Extent, window: Window, name: str
) -> tuple[float, float]:
    """Return the values that are mapped to 0 and 255."""
    if window == "auto":
        low, high = percentiles(values)
        if low == high:  # nearly one value: use the few others
            low, high = extent.lowest, extent.highest
        return low, high
    if window == "z-score":
        return z_score_limits(values)
    if window is not None:
        return parse_window(window, name)
    if values.dtype.kind == "f":
        if extent.lowest < 0 or extent.highest > 1:
            used = f"{format_number(extent.lowest)} to {format_number(extent.highest)}"
            raise ImageError(
                f"{name} has floats outside 0..1, from {used}: specify which values become black "
                "and white (--window LOW,HIGH or --window auto; window= in Python)"
            )
        return 0.0, 1.0
    largest = np.iinfo(values.dtype).max
    if values.dtype == np.int32 and extent.highest <= 65535:
        largest = 65535  # PIL opens some 16-bit files as 32-bit integers
    return 0.0, float(largest)


def percentiles(values: Shaped[np.ndarray, "h w c"]) -> tuple[float, float]:
    """Compute the percentiles of "auto" as `np.percentile` does.

    Values of up to 16 bits are counted, which needs no sorted copy of the image.
    """
    if values.dtype.kind == "f" or values.dtype.itemsize > 2:
        low, high = np.percentile(values, PERCENTILES)
        return float(low), float(high)
    offset = min(0, int(np.iinfo(values.dtype).min))
    counts = np.zeros(2 ** (8 * values.dtype.itemsize), np.int64)
    for rows in strip_slices(values):
        strip = np.asarray(values[rows]).astype(np.int64).ravel()
        counts += np.bincount(strip - offset, minlength=len(counts))
    ranks = counts.cumsum()
    places = np.array(PERCENTILES) / 100 * (values.size - 1)
    below = np.searchsorted(ranks, np.floor(places), side="right") + offset
    above = np.searchsorted(ranks, np.ceil(places), side="right") + offset
    low, high = below + (above - below) * (places - np.floor(places))
    return float(low), float(high)


def z_score_limits(values: Shaped[np.ndarray, "..."]) -> tuple[float, float]:
    """Return the mean minus and plus `DEVIATIONS` standard deviations of finite values."""
    flat = values.ravel(order="K")
    parts = [flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK)]
    mean = sum(float(part.sum(dtype=np.float64)) for part in parts) / flat.size
    squares = sum(float(np.square(part - mean, dtype=np.float64).sum()) for part in parts)
    span = DEVIATIONS * (squares / flat.size) ** 0.5 or 1.0  # one value becomes grey
    return mean - span, mean + span


def parse_window(window: object, name: str) -> tuple[float, float]:
    """Return the two numbers of a window."""
    try:
        low, high = (float(value) for value in window)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (np.isfinite((low, high)).all() and low < high):
        raise ImageError(
            f'{name}: {window!r} is no window; pass "auto", "z-score" or LOW,HIGH, LOW below HIGH'
        )
    return low, high


def warn_about_range(extents: Sequence[Extent], window: tuple[float, float], name: str) -> None:
    """Warn if values use little of the range that is mapped to 0..255."""
    problem = find_range_warning(extents, window, name)
    if problem is not None:
        warn(problem)


def warn(warning: ImageWarning) -> None:
    """Issue a warning; it is shown once per image, because its text names the image."""
    warnings.warn(warning, stacklevel=5)


__all__ = [
    "ImageWarning",
    "Window",
    "apply_window",
    "parse_window",
    "percentiles",
    "stretch",
    "stretch_channels",
    "warn_about_range",
    "z_score_limits",
]
