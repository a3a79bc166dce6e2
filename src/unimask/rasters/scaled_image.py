"""Bands of a large image as 8-bit channels of a model, scaled equally in every window."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from unimask.config import Window
from unimask.errors import SettingsError
from unimask.processing.intensities import (
    PERCENTILES,
    UINT8_WINDOW,
    parse_window,
    scaled_strip,
)
from unimask.processing.preprocess import intensity_table
from unimask.rasters.large_image import LargeImage
from unimask.tiling.windows import TileWindow


@dataclass(frozen=True, eq=False)
class ScaledImage:
    """Channels of a model from the bands of a large image.

    Attributes:
        source: The image.
        bands: Band of each channel, counted from 0.
        limits: Values of each channel that are mapped to 0 and 255; None leaves 8-bit values.
        table: Lookup table applied to all channels afterwards, None for none.
    """

    source: LargeImage
    bands: tuple[int, ...]
    limits: tuple[tuple[float, float], ...] | None = None
    table: UInt8[np.ndarray, "256"] | None = None

    @classmethod
    def choose(
        cls,
        source: LargeImage,
        channels: int,
        *,
        bands: Sequence[int] | None = None,
        window: Window = None,
        stretch: bool = False,
    ) -> "ScaledImage":
        """Choose bands and their scaling, once for the whole image.

        Args:
            source: The image.
            channels: Number of channels of the model.
            bands: Band of each channel, counted from 1; None for the usual choice.
            window: Values that are mapped to 0 and 255, or "auto" for the 0.1 and 99.9 percentiles
                of each band. None leaves 8-bit values, and is "auto" for other types.
            stretch: Whether the model needs stretched contrast, as in `stretch_intensities`.

        Raises:
            ImageError: The bands must be chosen, the window is invalid, or the file is damaged.
            SettingsError: There are no such bands.
        """
        if window == "z-score":
            raise SettingsError("window z-score is for images and volumes: pass auto or LOW,HIGH")
        numbers = choose_bands(source, channels, bands)
        limits = None
        if window not in (None, "auto", UINT8_WINDOW):
            limits = (parse_window(window, source.name),) * len(numbers)
        elif window == "auto" or source.dtype != np.uint8:
            limits = measure_limits(source, numbers)
        scaled = cls(source, numbers, limits)
        if not stretch:
            return scaled
        parts = [scaled.scale(*item)[None] for item in source.sample(numbers)]
        pixels = np.concatenate([part.reshape(1, -1, channels) for part in parts], axis=1)
        return cls(source, numbers, limits, intensity_table(pixels) if pixels.size else None)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.source.size

    def read(self, window: TileWindow) -> UInt8[np.ndarray, "h w c"]:
        """Read the channels of a window."""
        image = self.scale(self.source.read(window, self.bands), None)
        return image if self.table is None else self.table[image]

    def read_valid(self, window: TileWindow) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels of a window hold data, None if all do."""
        return self.source.read_valid(window)

    def scale(
        self, values: Shaped[np.ndarray, "h w c"], valid: Bool[np.ndarray, "h w"] | None
    ) -> UInt8[np.ndarray, "..."]:
        """Scale values to 0..255; return those of the valid pixels (n, c) if there is a mask."""
        if valid is not None:
            values = values[valid][None]
        if self.limits is not None:
            channels = [
                scaled_channel(values[..., index : index + 1], *limits)
                for index, limits in enumerate(self.limits)
            ]
            values = np.concatenate(channels, axis=2)
        return values if valid is None else values[0]


def choose_bands(source: LargeImage, channels: int, bands: Sequence[int] | None) -> tuple[int, ...]:
    """Return the band of each channel, counted from 0; see `ScaledImage.choose`."""
    if bands is None:
        return source.choose_bands(channels)
    numbers = tuple(bands)
    valid = all(isinstance(n, int) and 1 <= n <= source.num_bands for n in numbers)
    if len(numbers) != channels or not valid:
        raise SettingsError(
            f"bands {', '.join(map(str, numbers))} of {source.name}: pass {channels} numbers, as "
            f"the model reads {channels} channels, from 1 to {source.num_bands}"
        )
    return tuple(number - 1 for number in numbers)


def scaled_channel(
    values: Shaped[np.ndarray, "h w 1"], low: float, high: float
) -> UInt8[np.ndarray, "h w 1"]:
    """Map values from `low`..`high` to 0..255; values that are not finite become 0."""
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return scaled_strip(values, low, high)


def measure_limits(source: LargeImage, bands: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    """Compute the 0.1 and 99.9 percentiles of each band from a sample of its valid pixels."""
    names = sorted(set(bands))
    parts: list[Shaped[np.ndarray, "n c"]] = []
    for values, valid in source.sample(names):
        parts.append(values[valid] if valid is not None else values.reshape(-1, len(names)))
    pixels = np.concatenate(parts)
    limits: dict[int, tuple[float, float]] = {}
    for index, name in enumerate(names):
        band = pixels[:, index]
        band = band[np.isfinite(band)] if band.dtype.kind == "f" else band
        low, high = np.percentile(band, PERCENTILES).tolist() if band.size else (0.0, 0.0)
        if low == high and band.size:  # nearly one value: use the few others
            low, high = float(band.min()), float(band.max())
        limits[name] = low, high
    return tuple(limits[name] for name in bands)
