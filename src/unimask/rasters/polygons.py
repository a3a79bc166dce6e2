"""Polygons of masks in the coordinates of the ground, with their areas."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np

from unimask.errors import SettingsError
from unimask.extras import import_extra
from unimask.formats.outlines import simple_parts
from unimask.rasters.large_image import Georeference
from unimask.tiling.masks import PlacedMask

PIXELS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""Transform of images without a georeference: columns and rows of pixels."""

MAX_SCALE_ERROR = 0.01
"""Largest difference from 1 of the scale of areas up to which map areas are used.

Distances on a map differ from those on the ground: little in UTM, by a factor in Web Mercator.
"""


@dataclass(frozen=True)
class Ground:
    """Coordinates of an image on the ground.

    Attributes:
        georeference: Place of the image, None for none.
        size: Height and width of the image in pixels.
        name: Name of the image in messages.
    """

    georeference: Georeference | None
    size: tuple[int, int]
    name: str

    @cached_property
    def crs(self) -> Any:
        """Coordinate reference system as an object of pyproj, None if it is unknown."""
        if self.georeference is None or self.georeference.crs is None:
            return None
        return import_extra("pyproj", "geo").CRS.from_wkt(self.georeference.crs)

    @property
    def transform(self) -> tuple[float, ...]:
        """Transform from pixels to coordinates; see `Georeference`."""
        return PIXELS if self.georeference is None else self.georeference.transform

    def check_areas(self) -> None:
        """Test that areas can be computed.

        Raises:
            SettingsError: The image has no coordinate reference system.
        """
        if self.crs is None:
            raise SettingsError(
                f"{self.name} has no coordinate reference system, so that areas in m² are unknown: "
                "assign one (gdal_edit.py -a_srs EPSG:...), or omit areas (--areas)"
            )

    def place(self, geometry: Any) -> Any:
        """Return a geometry in pixels in coordinates of the ground."""
        a, b, c, d, e, f = self.transform

        def apply(points: np.ndarray) -> np.ndarray:
            x, y = points.T
            return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)

        return import_extra("shapely", "geo").transform(geometry, apply)

    @cached_property
    def pixel_area(self) -> float | None:
        """Area of a pixel in m² if it is the same everywhere, else None."""
        crs = self.crs
        if not crs.is_projected:
            return None
        pyproj = import_extra("pyproj", "geo")
        to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
        a, b, c, d, e, f = self.transform
        height, width = self.size
        corners = [(0, 0), (width, 0), (0, height), (width, height), (width / 2, height / 2)]
        x, y = np.array([(a * i + b * j + c, d * i + e * j + f) for i, j in corners]).T
        scales = np.array(pyproj.Proj(crs).get_factors(*to_degrees.transform(x, y)).areal_scale)
        if not (np.abs(scales - 1) <= MAX_SCALE_ERROR).all():
            return None
        unit = crs.axis_info[0].unit_conversion_factor
        return abs(a * e - b * d) * unit * unit

    @cached_property
    def geodesic(self) -> Any:
        """Ellipsoid, and the transformer from the coordinates to degrees."""
        pyproj = import_extra("pyproj", "geo")
        target = self.crs.geodetic_crs
        transformer = pyproj.Transformer.from_crs(self.crs, target, always_xy=True)
        return self.crs.get_geod(), transformer

    def area(self, geometry: Any, num_pixels: int) -> float:
        """Compute an area in m².

        Args:
            geometry: Exact outline of the pixels, in coordinates of the ground.
            num_pixels: Number of pixels.
        """
        if self.pixel_area is not None:
            return self.pixel_area * num_pixels
        ellipsoid, transformer = self.geodesic
        shapely = import_extra("shapely", "geo")

        def to_degrees(points: np.ndarray) -> np.ndarray:
            return np.stack(transformer.transform(*points.T), axis=1)

        degrees = shapely.transform(shapely.orient_polygons(geometry), to_degrees)
        value = abs(ellipsoid.geometry_area_perimeter(shapely.orient_polygons(degrees))[0])
        return float(value) if isfinite(value) else float("nan")


def mask_outline(mask: PlacedMask) -> Any:
    """Return the exact outline of a mask in pixels of the image, with holes, as shapely's type."""
    shapely = import_extra("shapely", "geo")
    origin = np.array([mask.window.column, mask.window.row])
    polygons = [
        shapely.Polygon(part.exterior + origin, [hole + origin for hole in part.holes])
        for part in simple_parts(mask.rle)
    ]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


def simplify(geometry: Any, tolerance: float) -> Any:
    """Simplify a geometry; no point moves by more than a tolerance, and holes remain."""
    if not tolerance:
        return geometry
    return import_extra("shapely", "geo").simplify(geometry, tolerance, preserve_topology=True)


def class_outlines(labels: np.ndarray, row: int, column: int) -> Sequence[tuple[Any, int]]:
    """Return the connected regions of a block of a label map, each with its value.

    Args:
        labels: Labels of int16; negative ones belong to no region.
        row: First row of the block within the image.
        column: First column of the block within the image.
    """
    shapes = import_extra("rasterio.features", "geo").shapes(
        labels, mask=labels >= 0, connectivity=4
    )
    shapely = import_extra("shapely", "geo")
    origin = np.array([column, row])
    regions = []
    for shape, value in shapes:
        rings = [np.array(ring) + origin for ring in shape["coordinates"]]
        regions.append((shapely.Polygon(rings[0], rings[1:]), int(value)))
    return regions
