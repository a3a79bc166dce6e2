"""Interface of images that are read in windows, since they may be larger than the memory."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped

from unimask.errors import ImageError
from unimask.tiling.windows import TileWindow

SAMPLE_GRID, SAMPLE_SIDE = 8, 256
"""Number of windows per axis, and their side in pixels, that are read for statistics."""


class Georeference(NamedTuple):
    """Place of an image on the ground.

    Attributes:
        crs: Coordinate reference system as WKT, None if it is unknown.
        transform: Numbers a, b, c, d, e, f that map column and row of a pixel's corner to
            x = a * column + b * row + c and y = d * column + e * row + f.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]


class LargeImage(AbstractContextManager["LargeImage"]):
    """Image that is read in windows.

    A format with several levels of resolution is opened at one of them: `size` and `mpp` are those
    of the level.

    Attributes:
        name: Name of the image in messages.
        size: Height and width in pixels.
        num_bands: Number of bands.
        dtype: Dtype of the pixels.
        georeference: Place of the image on the ground, None for none.
        mpp: Micrometres per pixel, None if they are unknown.
        options: Options of the image that the result depends on, beside its size.
    """

    name: str
    size: tuple[int, int]
    num_bands: int
    dtype: np.dtype
    georeference: Georeference | None = None
    mpp: float | None = None
    options: Mapping[str, object] = MappingProxyType({})

    @abstractmethod
    def read(self, window: TileWindow, bands: Sequence[int]) -> Shaped[np.ndarray, "h w c"]:
        """Read the pixels of a window.

        Args:
            window: Window within the image.
            bands: Bands to read, counted from 0, in this order; they may be repeated.

        Raises:
            ImageError: The file is damaged.
        """

    def read_valid(self, window: TileWindow) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels of a window hold data, None if all do.

        Other pixels get no label, and tiles without data are not segmented.
        """
        return None

    def choose_bands(self, channels: int) -> tuple[int, ...]:
        """Return the bands that a model with a number of channels reads by default.

        Raises:
            ImageError: The choice is not obvious.
        """
        if self.num_bands == channels:
            return tuple(range(channels))
        if self.num_bands == 1 and channels == 3:
            return (0, 0, 0)
        raise band_error(self.name, self.num_bands, channels)

    def sample(
        self, bands: Sequence[int]
    ) -> Iterator[tuple[Shaped[np.ndarray, "h w c"], Bool[np.ndarray, "h w"] | None]]:
        """Yield pixels for statistics of all of the image, with those that hold data (None: all).

        By default a regular grid of small windows, or the whole image if that is as small.

        Raises:
            ImageError: The file is damaged.
        """
        height, width = self.size
        side = SAMPLE_GRID * SAMPLE_SIDE
        windows = [TileWindow(0, 0, height, width)]
        if height * width > side * side:
            part = min(SAMPLE_SIDE, height), min(SAMPLE_SIDE, width)
            corners = product(sample_starts(height), sample_starts(width))
            windows = [TileWindow(*corner, *part) for corner in corners]
        for window in windows:
            yield self.read(window, bands), self.read_valid(window)

    def close(self) -> None:
        """Close the file."""
        return

    def __exit__(self, *_: object) -> None:
        self.close()


def sample_starts(length: int) -> list[int]:
    """Return the starts of evenly spaced intervals of an axis."""
    last = max(0, length - SAMPLE_SIDE)
    return sorted({round(index * last / (SAMPLE_GRID - 1)) for index in range(SAMPLE_GRID)})


def band_error(name: str, num_bands: int, channels: int) -> ImageError:
    """Return the error for an image whose bands must be chosen."""
    example = ",".join(str(channels - index) for index in range(channels))
    bands = f"{num_bands} bands" if num_bands > 1 else "one band"
    return ImageError(
        f"{name} has {bands}, but the model reads {channels} channels: choose {channels} bands by "
        f"number with bands= (--bands {example})"
    )
