"""Mapping pixel values of any type and range linearly to 0..255."""

import warnings
from typing import Literal

import numpy as np
from jaxtyping import Shaped, UInt8

from unimask.errors import ImageError

Window = tuple[float, float] | Literal["auto"] | None

PERCENTILES = (0.1, 99.9)
"""What "auto" makes black and white: a few hot or dead pixels decide nothing."""


class PictureWarning(UserWarning):
    """A picture was read, but something of it was changed or lost on the way."""


def stretch(
    values: Shaped[np.ndarray, "h w c"], window: Window, name: str
) -> UInt8[np.ndarray, "h w c"]:
    """Map values linearly to 0..255, and warn where some fell outside the window.

    Raises:
        ImageError: The window is empty, or the values are no numbers with a known range.
    """
    low, high = limits(values, window, name)
    if high <= low:  # "auto" on a flat picture
        return np.zeros(values.shape, np.uint8)
    outside = np.count_nonzero((values < low) | (values > high)) / values.size
    if outside > 0 and window != "auto":
        warnings.warn(
            f"{name}: {outside:.1%} of the values lie outside {low:g},{high:g} and were clipped",
            PictureWarning,
            stacklevel=4,
        )
    precise = np.float64 if values.dtype.itemsize > 2 else np.float32
    scaled = (values.astype(precise) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def limits(values: Shaped[np.ndarray, "h w c"], window: Window, name: str) -> tuple[float, float]:
    """Choose the values that become black and white."""
    if values.dtype.kind not in "iuf":
        raise ImageError(f"{name} has values of type {values.dtype}: give integers or floats")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ImageError(f"{name} has values that are not finite: replace them first")
    if window == "auto":
        low, high = np.percentile(values, PERCENTILES)
        if low == high:  # nearly flat: then the few others count
            low, high = values.min(), values.max()
        return float(low), float(high)
    if window is not None:
        return checked(window, name)
    if values.dtype.kind == "f":
        if values.min() < 0 or values.max() > 1:
            raise ImageError(
                f"{name} has floats outside 0..1: say which are black and white (window, --window)"
            )
        return 0.0, 1.0
    largest = np.iinfo(values.dtype).max
    if values.dtype == np.int32 and values.max() <= 65535:
        largest = 65535  # PIL opens some 16-bit files as 32-bit integers
    return 0.0, float(largest)


def checked(window: object, name: str) -> tuple[float, float]:
    """Give the two numbers of a window."""
    try:
        low, high = (float(value) for value in window)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (np.isfinite((low, high)).all() and low < high):
        raise ImageError(
            f'{name}: {window!r} is no window; give "auto" or LOW,HIGH, LOW below HIGH'
        )
    return low, high
