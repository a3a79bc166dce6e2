"""Files of polygons on the ground: GeoJSON, GeoPackage and others that pyogrio reads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from unimask.errors import DataError, one_line
from unimask.extras import import_extra

VECTOR_SUFFIXES = (".geojson", ".gpkg", ".shp", ".fgb")
"""Suffixes of files of polygons."""

POLYGONS = (3, 6)
"""Types of polygons and multipolygons in shapely."""

MAX_DEGREES = (360.0, 90.0)
"""Largest longitude and latitude; other values are not in degrees."""


@dataclass(frozen=True, eq=False)
class VectorFile:
    """Polygons of a file with their properties.

    Attributes:
        path: The file.
        crs: Coordinate reference system, None if the file does not state it.
        shapes: Polygons and multipolygons of shapely, two-dimensional and valid.
        properties: Values of each property; text, numbers or None.
        num_others: Number of features that are no polygons, such as points.
    """

    path: Path
    crs: Any
    shapes: np.ndarray
    properties: Mapping[str, np.ndarray]
    num_others: int = 0

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest x and y, and largest x and y, of all polygons."""
        return tuple(import_extra("shapely", "geo").total_bounds(self.shapes).tolist())

    @property
    def is_misplaced(self) -> bool:
        """Whether the coordinates are no degrees, although the reference system has degrees."""
        if self.crs is None or not self.crs.is_geographic or not len(self.shapes):
            return False
        low_x, low_y, high_x, high_y = self.bounds
        return max(-low_x, high_x) > MAX_DEGREES[0] or max(-low_y, high_y) > MAX_DEGREES[1]

    def names(self, attribute: str) -> list[str]:
        """Return the value of a property for each polygon as text, empty where it has none."""
        values = self.properties.get(attribute)
        if values is None:
            return [""] * len(self.shapes)
        return [parse_name(value) for value in values.tolist()]

    def transform(self, crs: Any) -> np.ndarray:
        """Return the polygons in another reference system; unchanged if either is unknown."""
        if self.crs is None or crs is None or self.crs == crs or self.is_misplaced:
            return self.shapes
        transformer = import_extra("pyproj", "geo").Transformer.from_crs(
            self.crs, crs, always_xy=True
        )
        return import_extra("shapely", "geo").transform(
            self.shapes, lambda points: np.stack(transformer.transform(*points.T), axis=1)
        )


def parse_name(value: Any) -> str:
    """Return a property as the name of a class; QuPath's classification is an object with one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = "" if value is None or value != value else str(value).strip()
    if text.startswith("{"):
        try:
            return str(json.loads(text).get("name") or "").strip()
        except ValueError:
            return text
    return text


def read_vector_file(path: Path) -> VectorFile:
    """Read the polygons of a file.

    Raises:
        DataError: The file cannot be read, or has several layers.
        MissingExtraError: pyogrio, pyproj or shapely is not installed.
    """
    pyogrio, shapely = import_extra("pyogrio", "geo"), import_extra("shapely", "geo")
    pyproj = import_extra("pyproj", "geo")
    try:
        layers = pyogrio.list_layers(path)
        if len(layers) > 1:
            names = ", ".join(str(name) for name, _ in layers[:4])
            raise DataError(
                f"{path} has several layers ({names}): save the one of the labels as a file"
            )
        meta, _, geometries, columns = pyogrio.raw.read(path, force_2d=True)
        shapes = shapely.from_wkb(geometries)
        crs = None if not meta["crs"] else pyproj.CRS.from_user_input(meta["crs"])
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyproj.exceptions.CRSError,
        shapely.errors.GEOSException,
        ValueError,
    ) as error:
        reason = one_line(error)
        raise DataError(f"{path} cannot be read ({reason}): export it again") from error
    selected = are_polygons(shapes)
    fields = dict(zip(meta["fields"].tolist(), columns, strict=True))
    return VectorFile(
        path,
        crs,
        repair(shapes[selected]),
        {name: np.asarray(values, object)[selected] for name, values in fields.items()},
        int((~selected).sum()),
    )


def are_polygons(shapes: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Return which geometries are polygons with an area."""
    shapely = import_extra("shapely", "geo")
    kinds = np.isin(shapely.get_type_id(shapes), POLYGONS)
    return kinds & ~shapely.is_empty(shapes) & np.isfinite(shapely.bounds(shapes)).all(axis=1)


def repair(shapes: np.ndarray) -> np.ndarray:
    """Return valid polygons of the same pixels: outlines that cross themselves are divided."""
    shapely = import_extra("shapely", "geo")
    valid = shapely.is_valid(shapes)
    if valid.all():
        return shapes
    shapes = shapes.copy()
    shapes[~valid] = [keep_polygons(each) for each in shapely.make_valid(shapes[~valid])]
    return shapes


def keep_polygons(shape: Any) -> Any:
    """Return the polygons of a geometry of any kind as one multipolygon."""
    shapely = import_extra("shapely", "geo")
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.MultiPolygon(parts[shapely.get_type_id(parts) == POLYGONS[0]].tolist())
