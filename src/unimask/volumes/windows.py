"""Windows of volumes: the values that become black and white, by name, by numbers, or measured."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped, UInt8

from unimask.config import Window
from unimask.errors import ImageError, SettingsError
from unimask.processing.dicom_image import window_limits
from unimask.processing.intensities import (
    ImageWarning,
    apply_window,
    parse_window,
    percentiles,
    z_score_limits,
)
from unimask.processing.value_ranges import format_number
from unimask.volumes.volume import Volume

PRESETS: dict[str, tuple[float, float]] = {
    "abdomen": (50, 400),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (30, 150),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "soft-tissue": (50, 400),
    "spine": (50, 250),
    "stroke": (40, 40),
    "subdural": (75, 215),
}
"""Usual windows of CT as centre and width in Hounsfield units."""


MEASURED = ("auto", "z-score")
"""Windows that are measured in each volume."""


@dataclass(frozen=True)
class WindowOptions:
    """Requested window of a volume.

    Attributes:
        window: Values that become black and white, the name of a preset for CT, "auto", "z-score",
            or None.
        center: DICOM's WindowCenter; with `width` instead of `window`.
        width: DICOM's WindowWidth.

    Raises:
        SettingsError: Both forms or half of one are given, or a value is invalid.
    """

    window: str | Sequence[float] | None = None
    center: float | None = None
    width: float | None = None

    def __post_init__(self) -> None:
        """Validate the options."""
        if (self.center is None) != (self.width is None):
            raise SettingsError("window_center and window_width belong together: pass both")
        if self.center is not None and self.window is not None:
            raise SettingsError("pass window, or window_center and window_width, not both")
        if self.width is not None and not self.width > 1:
            raise SettingsError(f"window_width {self.width} must be greater than 1")
        if isinstance(self.window, str) and self.window not in (*PRESETS, *MEASURED):
            names = f"{', '.join(MEASURED)}, or one of {', '.join(PRESETS)}"
            raise SettingsError(f"window {self.window!r} is unknown: pass two values, {names}")
        if self.window is not None and not isinstance(self.window, str):
            try:
                parse_window(self.window, "window")
            except ImageError as error:
                raise SettingsError(str(error)) from error


def choose_window(
    volume: Volume, options: WindowOptions, model_window: Window
) -> tuple[float, float] | None:
    """Return the values of a volume that become black and white; None for 8-bit values as they are.

    Args:
        volume: Volume.
        options: Requested window.
        model_window: Window with which the model was trained, if any.

    Raises:
        SettingsError: A preset for CT is requested for another modality.
    """
    window = options.window
    if options.center is not None and options.width is not None:
        return window_limits(options.center, options.width)
    if isinstance(window, str) and window in PRESETS:
        if volume.modality not in ("", "CT"):
            raise SettingsError(
                f"window {window!r} is in Hounsfield units of CT, but {volume.name} is "
                f"{volume.modality}: pass two values or auto"
            )
        return window_limits(*PRESETS[window])
    window = model_window if window is None else window
    if window is None and volume.values.dtype == np.uint8:
        return None
    if window == "z-score":
        return measure_z_score(volume)
    if window is None or window == "auto":
        return measure_window(volume)
    return parse_window(window, volume.name)


def measure_window(volume: Volume) -> tuple[float, float]:
    """Return the 0.1 and 99.9 percentiles of the finite values of a volume.

    Raises:
        ImageError: No value is finite.
    """
    values = volume.values
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)][:, None, None]
        if not values.size:
            raise ImageError(f"{volume.name} has no finite values")
    low, high = percentiles(values)
    if low == high:  # nearly one value: use the few others
        low, high = float(values.min()), float(values.max())
    return low, high if high > low else low + 1


def measure_z_score(volume: Volume) -> tuple[float, float]:
    """Return the mean of the finite values of a volume, minus and plus 4 standard deviations.

    Raises:
        ImageError: No value is finite.
    """
    values = volume.values
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
        if not values.size:
            raise ImageError(f"{volume.name} has no finite values")
    return z_score_limits(values)


def count_undefined(volume: Volume) -> int:
    """Count the values that are not finite, and warn about them; they become black."""
    values = volume.values
    count = 0 if values.dtype.kind != "f" else int((~np.isfinite(values)).sum())
    if count:
        warnings.warn(
            ImageWarning(f"{volume.name}: {count:,} voxels are not finite and become black"),
            stacklevel=2,
        )
    return count


def to_grey(
    values: Shaped[np.ndarray, "h w"], limits: tuple[float, float] | None, is_inverted: bool
) -> UInt8[np.ndarray, "h w"]:
    """Map a slice to the grey values that the network gets.

    Args:
        values: Values of a slice.
        limits: Values that become black and white; None for 8-bit values as they are.
        is_inverted: Whether black and white are exchanged (MONOCHROME1).
    """
    if limits is not None:
        if values.dtype.kind == "f":
            values = np.where(np.isfinite(values), values, limits[0])
        values = apply_window(values[..., None], limits, "the slice")[..., 0]
    return np.asarray(255 - values if is_inverted else values, np.uint8)


def format_window(limits: tuple[float, float] | None) -> str:
    """Return a window as text, such as "-1350,149"."""
    return "none (8-bit values)" if limits is None else ",".join(map(format_number, limits))
