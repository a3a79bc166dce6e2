"""Define the records of GeoJSON files in pixels, and convert their geometries to masks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
from jaxtyping import Float

from unimask.datasets.objects.coco_records import parse_side_length
from unimask.datasets.objects.collector import UNLABELLED
from unimask.datasets.objects.outlines import Mask, read_polygons
from unimask.errors import DataError
from unimask.formats.json_stream import load_json, stream_lists
from unimask.formats.json_values import (
    JsonValueError,
    Number,
    convert_record,
    normalize_fields,
    parse_class_name,
    parse_integer,
    parse_text,
)
from unimask.formats.polygon_raster import rasterise
from unimask.formats.run_length import RunLength
from unimask.labels import Colour, is_colour
from unimask.processing.images import MAX_PIXELS

CLASS_PROPERTIES = ("label", "classification", "class", "class_name", "category", "name")
"""Properties that may hold the class; QuPath's classification is an object with a name."""

MAX_LABEL_ID = 1 << 20


class GeojsonImage(msgspec.Struct):
    """Image of a feature collection; empty, and 0 for its sides, where the file lacks them."""

    file_name: str | None = None
    height: Number = None
    width: Number = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "file_name": lambda value: parse_text(value or ""),
        "height": parse_side_length,
        "width": parse_side_length,
    }

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, (0, 0) if the file lacks one of them."""
        height, width = int(self.height or 0), int(self.width or 0)
        return (height, width) if height > 0 and width > 0 else (0, 0)


class GeojsonGeometry(msgspec.Struct):
    """Geometry of a feature."""

    type: str
    coordinates: list[Any] = []


class GeojsonFeature(msgspec.Struct):
    """Feature of a collection: an object with properties of any kind."""

    geometry: GeojsonGeometry | None = None
    properties: dict[str, Any] | None = None

    @property
    def kind(self) -> str:
        """Type of the geometry; empty if there is none."""
        return "" if self.geometry is None else self.geometry.type

    @property
    def polygons(self) -> list[Any]:
        """Polygons, each a list of rings."""
        coordinates = [] if self.geometry is None else self.geometry.coordinates
        return [coordinates] if self.kind == "Polygon" else coordinates

    @property
    def has_holes(self) -> bool:
        """Whether a polygon has more than one ring."""
        return any(isinstance(rings, list) and len(rings) > 1 for rings in self.polygons)

    @property
    def label(self) -> str:
        """Name of the class; "unlabeled" if no property holds it.

        Raises:
            DataError: The property holds no name; the message is the end of a sentence.
        """
        for key in CLASS_PROPERTIES:
            value = (self.properties or {}).get(key)
            value = value.get("name") if isinstance(value, dict) else value
            if value not in (None, ""):
                try:
                    return parse_class_name(value).strip() or UNLABELLED
                except JsonValueError as error:
                    raise DataError(f"has the property {key}, which {error}: correct it") from None
        return UNLABELLED

    @property
    def label_id(self) -> int | None:
        """Label id, which orders the classes; None if the feature has none."""
        try:
            return parse_integer((self.properties or {}).get("label_id"), MAX_LABEL_ID)
        except JsonValueError:
            return None

    @property
    def colour(self) -> Colour | None:
        """Colour of QuPath's classification; None if the feature has none."""
        classification = (self.properties or {}).get("classification")
        colour = classification.get("color") if isinstance(classification, dict) else None
        if not isinstance(colour, list) or not all(type(value) is int for value in colour):
            return None
        return (colour[0], colour[1], colour[2]) if is_colour(colour) else None


def read_image_info(file: Path) -> GeojsonImage:
    """Read the image that a feature collection names.

    Raises:
        DataError: The file is not a JSON object, or its image is malformed.
    """
    content = load_json(file)
    image = content.get("image") if isinstance(content, dict) else None
    try:
        return convert_record(image, GeojsonImage) if isinstance(image, dict) else GeojsonImage()
    except JsonValueError as error:
        raise DataError(f"{file}: image.{error}; export it again") from None


def iterate_features(file: Path) -> Iterator[tuple[int, GeojsonFeature]]:
    """Yield the features of a file with their numbers, counted from 1.

    Raises:
        DataError: The file cannot be read, or a feature is malformed.
    """
    for number, (_, item) in enumerate(stream_lists(file, ("features",)), start=1):
        try:
            yield number, convert_record(item, GeojsonFeature, f"features[{number - 1}]")
        except JsonValueError as error:
            raise DataError(f"{file}: {error}; export it again") from None


def feature_mask(feature: GeojsonFeature, size: tuple[int, int]) -> Mask:
    """Return a feature as a mask: polygons, or run lengths if it has holes.

    Args:
        feature: Feature whose geometry encloses pixels.
        size: Height and width of its image; needed for holes only.

    Raises:
        DataError: The geometry is malformed or of another type, or extends far beyond the image;
            the message is the end of a sentence.
    """
    if feature.kind not in ("Polygon", "MultiPolygon"):
        raise DataError(
            f"has the geometry {feature.kind[:40]!r}, which is not known: make it a Polygon"
        )
    parts = [read_rings(rings) for rings in feature.polygons]
    if not feature.has_holes:
        return [ring for rings in parts for ring in rings]
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(f"is in an image of {size[1]} x {size[0]}, which is too large: check it")
    limit = 2 * max(*size)
    mask = np.zeros(size, bool)
    for rings in parts:
        if any(np.abs(ring).max() > limit for ring in rings):
            raise DataError("reaches far out of its image: draw it again")
        mask |= rasterise([ring.reshape(-1, 2) for ring in rings], (0, 0, size[1], size[0]))
    return RunLength.from_mask(mask)


def read_rings(rings: Any) -> list[Float[np.ndarray, " _"]]:
    """Parse the rings of a polygon, each as x0, y0, x1, y1, ... without a third coordinate.

    Raises:
        DataError: A ring is malformed; the message is the end of a sentence.
    """
    if not isinstance(rings, list):
        raise DataError("has a polygon that is not a list of rings: export it again")
    plain = [
        [position[:2] if isinstance(position, list) else position for position in ring]
        if isinstance(ring, list)
        else ring
        for ring in rings
    ]
    return read_polygons(plain)
