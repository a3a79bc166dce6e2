"""Define the records of Darwin JSON 2, and convert its annotations to masks."""

from collections.abc import Sequence
from math import degrees, isnan
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from unimask.datasets.objects.coco_reader import box_polygon
from unimask.datasets.objects.coco_records import parse_side_length
from unimask.datasets.objects.cvat_xml import parse_coordinate
from unimask.datasets.objects.labelme_records import parse_label
from unimask.datasets.objects.outlines import Mask, ellipse_polygon, read_polygons
from unimask.errors import DataError
from unimask.formats.json_stream import load_json
from unimask.formats.json_values import (
    Id,
    JsonValueError,
    Number,
    convert_record,
    normalize_fields,
    parse_float,
    parse_text,
)
from unimask.formats.run_length import RunLength, encode_id_map
from unimask.processing.images import MAX_PIXELS

VALUES_PER_RUN = 2
"""Numbers of a run in a raster layer: its value, and its length."""


class DarwinPoint(msgspec.Struct):
    """Point in pixels."""

    x: Number = None
    y: Number = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"x": parse_coordinate, "y": parse_coordinate}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def coordinates(self) -> tuple[float, float]:
        """Both coordinates; NaN if one is missing."""
        return parse_float(self.x), parse_float(self.y)


class DarwinPolygon(msgspec.Struct):
    """Polygon of several paths, of which one inside of another is a hole."""

    paths: list[list[DarwinPoint]]


class DarwinEllipse(msgspec.Struct):
    """Ellipse, with its angle in radians."""

    center: DarwinPoint
    radius: DarwinPoint
    angle: float = 0.0


class DarwinRasterLayer(msgspec.Struct):
    """Map of numbers, as pairs of a value and a length along the rows."""

    dense_rle: list[int]
    mask_annotation_ids_mapping: dict[str, int]


class DarwinAnnotation(msgspec.Struct):
    """Annotation; a mask has its pixels in a raster layer."""

    name: Id
    id: str = ""
    polygon: DarwinPolygon | None = None
    ellipse: DarwinEllipse | None = None
    bounding_box: dict[str, Any] | None = None
    mask: Any = None
    raster_layer: DarwinRasterLayer | None = None
    frames: Any = None
    tag: Any = None
    keypoint: Any = None
    line: Any = None
    cuboid: Any = None
    skeleton: Any = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"name": parse_label}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)
        if self.frames is not None:
            raise JsonValueError("frames: is of a video; export it as single images")

    @property
    def has_pixels(self) -> bool:
        """Whether the annotation encloses pixels."""
        shapes = (self.polygon, self.ellipse, self.mask)
        is_shaped = any(shape is not None for shape in shapes)
        return is_shaped or (self.bounding_box is not None and self.kind == "annotation")

    @property
    def kind(self) -> str:
        """Type of an annotation without pixels; boxes surround some of them."""
        kinds = ("tag", "keypoint", "line", "cuboid", "skeleton")
        return next((kind for kind in kinds if getattr(self, kind) is not None), "annotation")


class DarwinSlot(msgspec.Struct):
    """Image of an item; height and width are 0 if the file lacks them."""

    type: str = "image"
    width: Number = None
    height: Number = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
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


class DarwinItem(msgspec.Struct):
    """Item of a dataset."""

    name: str
    slots: list[DarwinSlot]
    path: str | None = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "name": parse_text,
        "path": lambda value: parse_text(value or ""),
    }

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def image_name(self) -> str:
        """Name of the image below the folder of images."""
        return f"{self.path or ''}/{self.name}".lstrip("/")


class DarwinFile(msgspec.Struct):
    """Item with its annotations."""

    item: DarwinItem
    annotations: list[DarwinAnnotation]


def read_darwin(file: Path) -> DarwinFile:
    """Read a Darwin JSON file.

    Raises:
        DataError: The file cannot be read, or is not Darwin's; the message names the field.
    """
    try:
        return convert_record(load_json(file), DarwinFile)
    except JsonValueError as error:
        raise DataError(f"{file} is not what V7 writes: {error}") from None


def annotation_polygons(annotation: DarwinAnnotation, size: tuple[int, int]) -> list[np.ndarray]:
    """Return the polygons of an annotation, rounded to pixels as V7 does.

    Raises:
        DataError: A coordinate is missing or invalid; the message is the end of a sentence.
    """
    paths: list[Any] = []
    if annotation.polygon is not None:
        paths = [[point.coordinates for point in path] for path in annotation.polygon.paths]
    elif annotation.ellipse is not None:
        shape = annotation.ellipse
        numbers = (*shape.center.coordinates, *shape.radius.coordinates)
        if any(map(isnan, numbers)):
            raise DataError("is an ellipse without centre or radius: draw it again")
        paths = [ellipse_polygon(*numbers, degrees(shape.angle))]
    return [round_to_pixels(polygon, size) for polygon in read_polygons(paths)]


def box_of(annotation: DarwinAnnotation, size: tuple[int, int]) -> Mask:
    """Return the bounding box of an annotation; empty if it has no extent.

    Raises:
        DataError: A coordinate is invalid; the message is the end of a sentence.
    """
    box = annotation.bounding_box or {}
    polygon = box_polygon([box.get(key) for key in ("x", "y", "w", "h")])
    return [round_to_pixels(part, size) for part in read_polygons([polygon])]


def round_to_pixels(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Round points to pixels; those on the edge of the image become its last pixels."""
    points = polygon.reshape(-1, 2).copy()
    if size != (0, 0):
        for axis, side in enumerate((size[1], size[0])):
            column = points[:, axis]
            column[(column > side - 1) & (column <= side)] = side - 1
            column[(column < 0) & (column >= -1)] = 0
    return np.rint(points).ravel()


def decode_raster_layers(
    annotations: Sequence[DarwinAnnotation], size: tuple[int, int]
) -> dict[str, RunLength]:
    """Return the mask of each annotation in the raster layers, by its id.

    Raises:
        DataError: A layer is damaged, or is of another size; the message is the end of a sentence.
    """
    masks: dict[str, RunLength] = {}
    for annotation in annotations:
        layer = annotation.raster_layer
        if layer is None:
            continue
        if size == (0, 0) or size[0] * size[1] > MAX_PIXELS:
            raise DataError("has a raster layer, but no width and height that fit: export it again")
        try:
            runs = np.array(layer.dense_rle, np.int64)
        except OverflowError:
            raise DataError("has a raster layer of huge numbers: export it again") from None
        values, lengths = runs[0::VALUES_PER_RUN], runs[1::VALUES_PER_RUN]
        is_whole = len(runs) % VALUES_PER_RUN == 0 and (runs >= 0).all()
        if (
            not is_whole
            or lengths.max(initial=0) > MAX_PIXELS
            or lengths.sum() != size[0] * size[1]
        ):
            raise DataError(
                f"has a raster layer that does not fill {size[1]} x {size[0]} pixels: export "
                "labels and images together"
            )
        by_value = encode_id_map(np.repeat(values, lengths).reshape(size))
        for name, value in layer.mask_annotation_ids_mapping.items():
            if value in by_value:
                masks[name] = by_value[value]
    return masks
