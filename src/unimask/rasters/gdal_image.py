"""GeoTIFF, COG, VRT and all other rasters that GDAL reads."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from unimask.errors import ImageError, one_line
from unimask.extras import import_extra
from unimask.processing.images import check_size
from unimask.rasters.large_image import Georeference, LargeImage, band_error
from unimask.tiling.windows import TileWindow

CACHE_MEGABYTES = 128
"""Size of GDAL's cache of blocks."""

OVERVIEW_SIDE = 2048
"""Largest side in pixels of a reduced image that is read for statistics."""

MAX_PIXELS = 2**50
"""Largest product of height and width, beyond which a header is taken for damaged."""


def import_rasterio() -> Any:
    """Import rasterio, with a small cache unless the variable GDAL_CACHEMAX is set.

    GDAL's own default is a twentieth of the memory.

    Raises:
        MissingExtraError: It is not installed.
    """
    os.environ.setdefault("GDAL_CACHEMAX", str(CACHE_MEGABYTES))
    return import_extra("rasterio", "geo")


class GdalImage(LargeImage):
    """Raster file that is read by rasterio.

    Args:
        path: File, or another name of a data set that GDAL opens.

    Raises:
        ImageError: The file is missing, damaged or of an unknown format.
        MissingExtraError: rasterio is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        rasterio = import_rasterio()
        self.name = str(path)
        if not os.path.exists(path):
            raise ImageError(f"{path} does not exist: check the path")
        with read_errors(self.name):
            self.file = open_quietly(rasterio, path)
        check_size(self.file.height, self.file.width, self.name, MAX_PIXELS)
        if not self.file.count:
            raise ImageError(f"{path} has no bands of its own: pass one of its subdatasets")
        self.size = self.file.height, self.file.width
        self.interpretations = [band.name for band in self.file.colorinterp]
        self.palette = self.read_palette()
        self.num_bands = 3 if self.palette is not None else self.file.count
        dtypes = {np.dtype(name) for name in self.file.dtypes}
        self.dtype = np.dtype(np.uint8) if self.palette is not None else np.result_type(*dtypes)
        if self.dtype.kind not in "iuf":
            raise ImageError(f"{path} has values of type {self.dtype}: pass integers or floats")
        self.georeference = self.read_georeference()
        flags = self.file.mask_flag_enums
        self.all_valid = all(flag.name == "all_valid" for band in flags for flag in band)
        self.all_valid &= self.dtype.kind != "f"

    def read_georeference(self) -> Georeference | None:
        """Return the reference system and transform, None if the file has neither."""
        crs, transform = self.file.crs, self.file.transform
        if not crs and transform.is_identity:
            return None
        numbers = transform.a, transform.b, transform.c, transform.d, transform.e, transform.f
        return Georeference(crs.to_wkt() if crs else None, numbers)

    def read_palette(self) -> Shaped[np.ndarray, "n 3"] | None:
        """Return the colours of a palette image as RGB, None if the image has no palette."""
        if self.file.count != 1 or self.interpretations != ["palette"]:
            return None
        colours = self.file.colormap(1)
        palette = np.zeros((max(colours) + 1, 3), np.uint8)
        for index, colour in colours.items():
            palette[index] = colour[:3]
        return palette

    def choose_bands(self, channels: int) -> tuple[int, ...]:
        """Return red, green and blue, one band for all channels, or all bands except alpha.

        Raises:
            ImageError: The choice is not obvious.
        """
        if self.palette is not None:
            return super().choose_bands(channels)
        names = self.interpretations
        if channels == 3 and {"red", "green", "blue"} <= set(names):
            return names.index("red"), names.index("green"), names.index("blue")
        bands = tuple(index for index, name in enumerate(names) if name != "alpha")
        if len(bands) == channels:
            return bands
        if channels == 3 and len(bands) == 1:
            return bands * 3
        raise band_error(self.name, self.num_bands, channels)

    def read(self, window: TileWindow, bands: Sequence[int]) -> Shaped[np.ndarray, "h w c"]:
        """Read the pixels of a window."""
        return self.read_reduced(window, bands, (window.height, window.width))

    def read_reduced(
        self, window: TileWindow, bands: Sequence[int], size: tuple[int, int]
    ) -> Shaped[np.ndarray, "h w c"]:
        """Read the pixels of a window at a height and width."""
        area = to_slices(window)
        with read_errors(self.name):
            if self.palette is not None:
                index = self.file.read(1, window=area, out_shape=size)
                return self.palette[np.minimum(index, len(self.palette) - 1)][..., list(bands)]
            names = sorted(set(bands))
            values = self.file.read(
                [name + 1 for name in names], window=area, out_shape=(len(names), *size)
            )
        order = [names.index(band) for band in bands]
        return np.ascontiguousarray(np.moveaxis(values[order], 0, 2))

    def read_valid(self, window: TileWindow) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels have a value in any band, None if all do."""
        return self.read_reduced_valid(window, (window.height, window.width))

    def read_reduced_valid(
        self, window: TileWindow, size: tuple[int, int]
    ) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels of a window at a height and width hold data, None if all do."""
        if self.all_valid:
            return None
        area = to_slices(window)
        with read_errors(self.name):
            valid = self.file.dataset_mask(window=area, out_shape=size) > 0
            if self.dtype.kind == "f":
                values = self.file.read(window=area, out_shape=(self.file.count, *size))
                valid &= np.isfinite(values).any(axis=0)
        return None if valid.all() else valid

    def sample(
        self, bands: Sequence[int]
    ) -> Iterator[tuple[Shaped[np.ndarray, "h w c"], Bool[np.ndarray, "h w"] | None]]:
        """Yield the image as a reduced one if the file holds such, else as windows."""
        height, width = self.size
        factor = max(height, width) / OVERVIEW_SIDE
        if factor <= 1 or not any(level >= factor / 2 for level in self.file.overviews(1)):
            yield from super().sample(bands)
            return
        size = max(1, round(height / factor)), max(1, round(width / factor))
        window = TileWindow(0, 0, height, width)
        yield self.read_reduced(window, bands, size), self.read_reduced_valid(window, size)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def to_slices(window: TileWindow) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return a window as rasterio takes it."""
    return (window.row, window.bottom), (window.column, window.right)


def open_quietly(rasterio: Any, path: str | Path) -> Any:
    """Open a raster without the warning that it is not georeferenced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path)


@contextmanager
def read_errors(name: str) -> Iterator[None]:
    """Convert errors of GDAL while a file is read.

    Raises:
        ImageError: One was raised.
    """
    rasterio = import_rasterio()
    try:
        yield
    except (rasterio.errors.RasterioError, OSError, ValueError) as error:
        cause = error.__cause__ or error  # the message of rasterio only refers to that of GDAL
        reason = one_line(cause)
        raise ImageError(f"{name} cannot be read ({reason}): copy or download it again") from error
