"""Files of polygons that GIS tools open: GeoPackage and GeoJSON, written in constant memory."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unimask.errors import OutputError, one_line
from unimask.extras import import_extra
from unimask.formats.json_lists import JsonListsFile
from unimask.rasters.polygons import Ground

PolygonFormat = Literal["gpkg", "geojson"]
"""Format of a file of polygons: GeoPackage or GeoJSON."""

FEATURES_PER_WRITE = 5000
"""Number of features that are held in memory."""

METRE_DECIMALS, DEGREE_DECIMALS = 3, 9
"""Decimals of coordinates in GeoJSON."""

FIELDS: dict[str, type[np.generic]] = {
    "segment_id": np.int64,
    "label": np.object_,
    "label_id": np.int32,
    "is_thing": np.bool_,
    "score": np.float64,
    "area_pixels": np.int64,
    "area_m2": np.float64,
}
"""Properties of polygons, with their types."""

Properties = Mapping[str, object]


class FeatureFile(ABC):
    """File of polygons with properties, complete after `finish`."""

    def __init__(self) -> None:
        self.features: list[tuple[Any, Properties]] = []
        self.count = 0

    def add(self, geometry: Any, properties: Properties) -> None:
        """Add a polygon in coordinates of the ground."""
        self.features.append((geometry, properties))
        self.count += 1
        if len(self.features) == FEATURES_PER_WRITE:
            self.write()

    @abstractmethod
    def write(self) -> None:
        """Write and forget the collected features."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the file."""


class GeoPackageFile(FeatureFile):
    """GeoPackage with one layer of multipolygons, in the reference system of the image.

    Args:
        path: File to write.
        ground: Coordinates of the image.
        has_areas: Whether features have the property "area_m2".
    """

    def __init__(self, path: Path, ground: Ground, has_areas: bool) -> None:
        super().__init__()
        self.path, self.ground = path, ground
        self.pyogrio = import_extra("pyogrio", "geo")
        self.shapely = import_extra("shapely", "geo")
        self.fields = [name for name in FIELDS if has_areas or name != "area_m2"]

    def write(self) -> None:
        """Write and forget the collected features."""
        geometries = np.array([geometry for geometry, _ in self.features], object)
        columns = [
            np.array([properties[name] for _, properties in self.features], FIELDS[name])
            for name in self.fields
        ]
        crs = self.ground.crs
        try:
            self.pyogrio.raw.write(
                self.path,
                self.shapely.to_wkb(geometries),
                columns,
                self.fields,
                layer="segments",
                driver="GPKG",
                geometry_type="MultiPolygon",
                promote_to_multi=True,
                crs=None if crs is None else crs.to_wkt(),
                append=self.path.exists(),
            )
        except self.pyogrio.errors.DataSourceError as error:
            raise OutputError(f"cannot write {self.path}: {one_line(error)}") from error
        self.features.clear()

    def finish(self) -> None:
        """Complete the file, which has a layer even without features."""
        if self.features or not self.path.exists():
            self.write()


class GeoJsonFile(FeatureFile):
    """GeoJSON in the reference system of the image if that has an EPSG code, else in WGS 84.

    Without a reference system, features also have the properties by which QuPath names objects.

    Args:
        path: File to write.
        ground: Coordinates of the image.
    """

    def __init__(self, path: Path, ground: Ground) -> None:
        super().__init__()
        self.path, self.ground = path, ground
        self.shapely = import_extra("shapely", "geo")
        crs = ground.crs
        self.code = None if crs is None else crs.to_epsg()
        self.to_degrees = None
        if crs is not None and self.code is None:
            transformer = import_extra("pyproj", "geo").Transformer
            self.to_degrees = transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        in_degrees = crs is not None and (self.code is None or crs.is_geographic)
        self.decimals = DEGREE_DECIMALS if in_degrees else METRE_DECIMALS
        self.file = JsonListsFile(path, ("features",))

    def write(self) -> None:
        """Write and forget the collected features."""
        self.file.extend("features", [self.convert(*feature) for feature in self.features])
        self.features.clear()

    def convert(self, geometry: Any, properties: Properties) -> dict[str, object]:
        """Return a feature of GeoJSON, with counterclockwise exteriors."""

        def place(points: np.ndarray) -> np.ndarray:
            if self.to_degrees is not None:
                points = np.stack(self.to_degrees.transform(*points.T), axis=1)
            return np.round(points, self.decimals)

        placed = self.shapely.orient_polygons(self.shapely.transform(geometry, place))
        shape = self.shapely.geometry.mapping(placed)
        named = dict(properties)
        if self.ground.crs is None:  # QuPath opens such files
            name = str(properties["label"])
            named |= {"objectType": "annotation", "classification": {"name": name}}
        return {"type": "Feature", "properties": named, "geometry": shape}

    def finish(self) -> None:
        """Complete the file."""
        self.write()
        others: dict[str, object] = {"type": "FeatureCollection"}
        if self.code is not None and self.code != 4326:
            name = f"urn:ogc:def:crs:EPSG::{self.code}"
            others["crs"] = {"type": "name", "properties": {"name": name}}
        self.file.finish(others)


def open_feature_file(
    path: Path, ground: Ground, *, kind: PolygonFormat, has_areas: bool
) -> FeatureFile:
    """Create a file of polygons.

    Raises:
        MissingExtraError: A package of the extra `geo` is not installed.
    """
    if kind == "geojson":
        return GeoJsonFile(path, ground)
    return GeoPackageFile(path, ground, has_areas)
