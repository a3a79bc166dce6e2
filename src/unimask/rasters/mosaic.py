"""Adjacent or overlapping rasters as one large image."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped

from unimask.errors import ImageError
from unimask.rasters.file_stamps import file_stamps
from unimask.rasters.gdal_image import MAX_PIXELS, GdalImage
from unimask.rasters.large_image import Georeference, LargeImage
from unimask.tiling.windows import TileWindow, enclosing_window

MAX_OPEN_FILES = 32
"""Number of files that are open at the same time."""

MAX_DRIFT = 0.1
"""Largest distance in pixels that different pixel sizes may add up to over one raster."""

Slices = tuple[slice, slice]
"""Rows and columns of a part of an array."""


class PlacedRaster(NamedTuple):
    """Raster within a mosaic: its file, and its pixels within those of the mosaic."""

    path: Path
    window: TileWindow


class Mosaic(LargeImage):
    """Rasters of one grid as one image.

    Where rasters overlap, the later one is on top, except for its pixels without data. Places
    between rasters have no data. Each raster is placed at the nearest pixel of the grid.

    Args:
        paths: Raster files, the one on top last.
        name: Name of the mosaic in messages, such as the folder of the files.

    Raises:
        ImageError: A file cannot be read, or the rasters differ in reference system, pixel size,
            number of bands or type.
        MissingExtraError: rasterio is not installed.
    """

    def __init__(self, paths: Sequence[str | Path], name: str | Path) -> None:
        self.name = str(name)
        if not paths:
            raise ImageError(f"{name} has no georeferenced raster: pass a folder of GeoTIFFs")
        self.open_files: OrderedDict[Path, GdalImage] = OrderedDict()
        self.first = first = GdalImage(paths[0])
        self.num_bands, self.dtype = first.num_bands, first.dtype
        origin = mosaic_reference(first)
        corners: list[TileWindow] = []
        for path in map(Path, paths):
            image = self.open(path)
            self.check_values(image, first)
            corners.append(TileWindow(*place_raster(image, first, origin), *image.size))
        whole = enclosing_window(corners)
        self.size = whole.height, whole.width
        if self.size[0] * self.size[1] > MAX_PIXELS:
            raise ImageError(
                f"the rasters of {name} lie {self.size[1]} x {self.size[0]} pixels apart: "
                "pass those of one place"
            )
        self.rasters = [
            PlacedRaster(Path(path), shifted(corner, -whole.row, -whole.column))
            for path, corner in zip(paths, corners, strict=True)
        ]
        a, b, c, d, e, f = origin.transform
        column, row = whole.column, whole.row
        shift = a * column + b * row + c, d * column + e * row + f
        self.georeference = Georeference(origin.crs, (a, b, shift[0], d, e, shift[1]))
        self.fill = fill_value(first)
        self.options = {"rasters": file_stamps(paths)}

    def open(self, path: Path) -> GdalImage:
        """Return an open raster; the one that was not used for longest is closed for it."""
        if path not in self.open_files:
            if len(self.open_files) >= MAX_OPEN_FILES:
                self.open_files.popitem(last=False)[1].close()
            self.open_files[path] = GdalImage(path)
        self.open_files.move_to_end(path)
        return self.open_files[path]

    def check_values(self, image: GdalImage, first: GdalImage) -> None:
        """Test that a raster has the number of bands and the type of the first one.

        Raises:
            ImageError: It has not.
        """
        if (image.num_bands, image.dtype) == (self.num_bands, self.dtype):
            return
        raise ImageError(
            f"{image.name} has {describe_values(image.num_bands, image.dtype)}, but {first.name} "
            f"has {describe_values(self.num_bands, self.dtype)}: a mosaic needs equal rasters; "
            "convert one, or leave it out"
        )

    def overlapping(self, window: TileWindow) -> Iterator[tuple[GdalImage, TileWindow, Slices]]:
        """Yield the rasters in a window, with the common window in each, and its place."""
        for path, place in self.rasters:
            common = place.intersect(window)
            if common is not None:
                inner = shifted(common, -place.row, -place.column)
                yield self.open(path), inner, common.slices_within(window)

    def read(self, window: TileWindow, bands: Sequence[int]) -> Shaped[np.ndarray, "h w c"]:
        """Read the pixels of a window."""
        pixels = np.full((window.height, window.width, len(bands)), self.fill, self.dtype)
        for image, inner, place in self.overlapping(window):
            valid = image.read_valid(inner)
            values = image.read(inner, bands)
            np.copyto(pixels[place], values, where=True if valid is None else valid[..., None])
        return pixels

    def read_valid(self, window: TileWindow) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels of a window hold data, None if all do."""
        valid = np.zeros((window.height, window.width), bool)
        for image, inner, place in self.overlapping(window):
            inside = image.read_valid(inner)
            valid[place] |= True if inside is None else inside
        return None if valid.all() else valid

    def choose_bands(self, channels: int) -> tuple[int, ...]:
        """Return the usual bands of the first raster.

        Raises:
            ImageError: The choice is not obvious.
        """
        return self.first.choose_bands(channels)

    def close(self) -> None:
        """Close the files."""
        for image in (self.first, *self.open_files.values()):
            image.close()
        self.open_files.clear()


def shifted(window: TileWindow, rows: int, columns: int) -> TileWindow:
    """Return a window that is moved down and to the right."""
    return window._replace(row=window.row + rows, column=window.column + columns)


def fill_value(image: GdalImage) -> float:
    """Return the value of pixels without data in a raster, 0 if it has none."""
    value = image.file.nodata
    if value is None or image.palette is not None:
        return 0
    if (
        image.dtype.kind != "f"
        and not np.iinfo(image.dtype).min <= value <= np.iinfo(image.dtype).max
    ):
        return 0
    return value


def describe_values(num_bands: int, dtype: np.dtype) -> str:
    """Return the number of bands of a raster and their type in words."""
    return f"{num_bands} band{'' if num_bands == 1 else 's'} of {dtype}"


def mosaic_reference(image: GdalImage) -> Georeference:
    """Return the place of a raster on the ground.

    Raises:
        ImageError: It is not georeferenced.
    """
    if image.georeference is None:
        raise ImageError(
            f"{image.name} is not georeferenced, so that its place in a mosaic is unknown: assign "
            "coordinates (gdal_edit.py -a_srs EPSG:... -a_ullr ...), or leave it out"
        )
    return image.georeference


def place_raster(image: GdalImage, first: GdalImage, origin: Georeference) -> tuple[int, int]:
    """Return the row and column of a raster in the grid of the first one.

    Raises:
        ImageError: Its reference system or its pixels differ.
    """
    reference = mosaic_reference(image)
    if image.file.crs != first.file.crs:
        raise ImageError(
            f"{image.name} and {first.name} differ in their coordinate reference system: "
            "reproject one (gdalwarp -t_srs), or predict them one by one"
        )
    a, b, c, d, e, f = origin.transform
    pixels = np.array([[a, b], [d, e]])
    other = np.array([reference.transform[:2], reference.transform[3:5]])
    drift = np.abs(np.linalg.solve(pixels, other) - np.eye(2)).max() * max(image.size)
    if drift > MAX_DRIFT:
        raise ImageError(
            f"{image.name} and {first.name} differ in the size or direction of their pixels: "
            "resample one (gdalwarp -tr ... -tap), or predict them one by one"
        )
    shift = np.array([reference.transform[2] - c, reference.transform[5] - f])
    column, row = np.rint(np.linalg.solve(pixels, shift)).astype(np.int64).tolist()
    return row, column
