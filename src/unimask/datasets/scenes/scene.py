"""Scenes: georeferenced rasters that are read in windows, and their labels."""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, UInt8

from unimask.config import Window
from unimask.extras import import_extra
from unimask.rasters.gdal_image import GdalImage
from unimask.rasters.large_image import Georeference
from unimask.rasters.scaled_image import ScaledImage
from unimask.tiling.windows import TileWindow

MASK_STEP = 16
"""Pixels per pixel of the reduced mask by which chips without data are found."""


class WindowLabels(NamedTuple):
    """Labels of a window of a scene.

    Attributes:
        id_maps: Number of the object at each pixel of each layer, 0 for none; the last layer is in
            front.
        label_ids: Label id of object i + 1.
        ignored: Pixels without known class.
    """

    id_maps: Int[np.ndarray, "l h w"]
    label_ids: Int[np.ndarray, " n"]
    ignored: Bool[np.ndarray, "h w"]


@runtime_checkable
class SceneLabels(Protocol):
    """Labels of a scene."""

    def read(self, window: TileWindow, valid: Bool[np.ndarray, "h w"]) -> WindowLabels:
        """Return the labels of the valid pixels of a window, which may reach beyond the scene."""
        ...

    def count_things(self, windows: Sequence[TileWindow]) -> Int[np.ndarray, " n"] | None:
        """Count the objects of things in each window; None if that requires reading files."""
        ...

    def digest(self, window: TileWindow) -> str:
        """Compute a digest of the labels of a window."""
        ...


@dataclass(frozen=True, eq=False)
class Scene:
    """Raster of a place, without its labels.

    Attributes:
        path: File of the raster.
        size: Height and width in pixels.
        georeference: Place of the raster on the ground.
        num_bands: Number of bands.
        reduced_valid: Whether each square of `MASK_STEP` pixels holds data; None if all do.
    """

    path: Path
    size: tuple[int, int]
    georeference: Georeference
    num_bands: int
    reduced_valid: Bool[np.ndarray, "h w"] | None

    @classmethod
    def open(cls, path: Path) -> "Scene | None":
        """Read the header of a raster; return None if it is not georeferenced.

        Raises:
            ImageError: The file cannot be read.
        """
        with closing(GdalImage(path)) as image:
            if image.georeference is None:
                return None
            height, width = image.size
            valid = None
            if not image.all_valid:
                reduced = math.ceil(height / MASK_STEP), math.ceil(width / MASK_STEP)
                valid = image.read_reduced_valid(TileWindow(0, 0, height, width), reduced)
            return cls(path, image.size, image.georeference, image.num_bands, valid)

    @cached_property
    def crs(self) -> Any:
        """Coordinate reference system as an object of pyproj, None if it is unknown."""
        wkt = self.georeference.crs
        return None if wkt is None else import_extra("pyproj", "geo").CRS.from_wkt(wkt)

    @property
    def outline(self) -> Any:
        """Outline of the raster on the ground as a polygon of shapely, rotated or not."""
        a, b, c, d, e, f = self.georeference.transform
        height, width = self.size
        corners = [(0, 0), (width, 0), (width, height), (0, height)]
        points = [(a * x + b * y + c, d * x + e * y + f) for x, y in corners]
        return import_extra("shapely", "geo").Polygon(points)

    def to_pixels(self, shapes: np.ndarray) -> np.ndarray:
        """Return polygons on the ground in pixels of the raster."""
        a, b, c, d, e, f = self.georeference.transform
        inverse = np.linalg.inv([[a, b], [d, e]])
        return import_extra("shapely", "geo").transform(
            shapes, lambda points: (points - (c, f)) @ inverse.T
        )

    def has_data(self, window: TileWindow) -> bool:
        """Return whether a window seems to hold pixels with data."""
        if self.reduced_valid is None:
            return True
        rows = slice(window.row // MASK_STEP, -(-window.bottom // MASK_STEP))
        columns = slice(window.column // MASK_STEP, -(-window.right // MASK_STEP))
        return bool(self.reduced_valid[rows, columns].any())


class SceneReader:
    """Reader of windows of scenes, with the bands and values that predictions see.

    Args:
        channels: Number of channels of the images.
        bands: Band of each channel, counted from 1; None for the usual ones of each scene.
    """

    def __init__(self, channels: int, bands: tuple[int, ...] | None) -> None:
        self.channels, self.bands = channels, bands
        self.window: Window = None
        self.scaling: dict[
            Path, tuple[tuple[int, ...], tuple[tuple[float, float], ...] | None]
        ] = {}

    def set_window(self, window: Window) -> None:
        """Set the values that are mapped to 0 and 255; see `ScaledImage.choose`."""
        if window != self.window:
            self.window = window
            self.scaling.clear()

    def scale(self, image: GdalImage, path: Path) -> ScaledImage:
        """Choose the bands and the scaling of a scene, measured once.

        Raises:
            ImageError, SettingsError: The bands must be chosen, or do not exist.
        """
        if path not in self.scaling:
            chosen = ScaledImage.choose(image, self.channels, bands=self.bands, window=self.window)
            self.scaling[path] = chosen.bands, chosen.limits
        return ScaledImage(image, *self.scaling[path])

    def read(
        self, scene: Scene, window: TileWindow
    ) -> tuple[UInt8[np.ndarray, "h w c"], Bool[np.ndarray, "h w"]]:
        """Read a window, which may reach beyond the scene, and which of its pixels hold data.

        Raises:
            ImageError: The file cannot be read.
        """
        pixels = np.zeros((window.height, window.width, self.channels), np.uint8)
        valid = np.zeros((window.height, window.width), bool)
        inside = window.intersect(TileWindow(0, 0, *scene.size))
        if inside is not None:
            with closing(GdalImage(scene.path)) as image:
                place = inside.slices_within(window)
                pixels[place] = self.scale(image, scene.path).read(inside)
                known = image.read_valid(inside)
                valid[place] = True if known is None else known
        return pixels, valid
