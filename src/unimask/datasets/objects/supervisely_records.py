"""Define the records of Supervisely's files, and convert their objects to masks."""

import base64
import binascii
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from unimask.datasets.objects.coco_records import parse_side_length
from unimask.datasets.objects.cvat_xml import parse_colour
from unimask.datasets.objects.labelme_records import parse_label
from unimask.datasets.objects.mask_images import decode_mask_image
from unimask.datasets.objects.outlines import (
    MIN_CORNERS,
    Mask,
    place_mask,
    read_polygons,
    rectangle_polygon,
)
from unimask.errors import DataError
from unimask.formats.json_stream import load_json
from unimask.formats.json_values import (
    Id,
    JsonValueError,
    Number,
    convert_record,
    normalize_fields,
)
from unimask.labels import Colour

SHAPES_WITHOUT_PIXELS = frozenset(
    ("point", "line", "polyline", "graph", "keypoints", "cuboid", "cuboid_2d", "point_3d")
)
"""Shapes that enclose no pixels."""

BITMAPS = ("bitmap", "alpha_mask")
"""Shapes that are masks, and the fields that hold them."""

MAX_BITMAP_BYTES = 1 << 28
"""Maximum number of bytes of a decompressed mask."""


class SuperviselyBitmap(msgspec.Struct):
    """Mask of a part of an image: a PNG, compressed or not, in base64."""

    data: str
    origin: tuple[float, float]


class SuperviselyPoints(msgspec.Struct):
    """Corners of a shape, and its holes."""

    exterior: list[tuple[float, float]] = []
    interior: list[list[tuple[float, float]]] = []


class SuperviselyObject(msgspec.Struct):
    """Object of an image."""

    classTitle: Id
    geometryType: str | None = None
    points: SuperviselyPoints | None = None
    bitmap: SuperviselyBitmap | None = None
    alpha_mask: SuperviselyBitmap | None = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"classTitle": parse_label}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def kind(self) -> str:
        """Shape; files of old releases do not state it for polygons and masks."""
        return self.geometryType or ("bitmap" if self.bitmap else "polygon")

    @property
    def is_unfinished(self) -> bool:
        """Whether points are missing, as in polygons whose drawing was broken off."""
        return self.kind == "polygon" and len((self.points or EMPTY).exterior) < MIN_CORNERS


EMPTY = SuperviselyPoints()
"""Points of shapes that have none."""


class SuperviselySize(msgspec.Struct):
    """Size of an image."""

    height: Number
    width: Number

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "height": parse_side_length,
        "width": parse_side_length,
    }

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)


class SuperviselyFile(msgspec.Struct):
    """Annotation of an image."""

    size: SuperviselySize
    objects: list[SuperviselyObject]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels, (0, 0) if the file lacks one of them."""
        height, width = int(self.size.height or 0), int(self.size.width or 0)
        return (height, width) if height > 0 and width > 0 else (0, 0)


class SuperviselyClass(msgspec.Struct):
    """Class of a project."""

    title: Id
    shape: str = "any"
    color: str = ""

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"title": parse_label}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)


class SuperviselyMeta(msgspec.Struct):
    """Description of a project."""

    classes: list[SuperviselyClass]


@dataclass(frozen=True, slots=True)
class SuperviselyClasses:
    """Classes of a project by name, in its order.

    Attributes:
        colours: Colour of each class that may have pixels.
        without_pixels: Classes of shapes without pixels.
    """

    colours: dict[str, Colour | None] = field(default_factory=dict)
    without_pixels: frozenset[str] = frozenset()


def read_annotation(file: Path) -> SuperviselyFile:
    """Read the annotation of an image.

    Raises:
        DataError: The file cannot be read, or is not Supervisely's; the message names the field.
    """
    return read_record(file, load_json(file), SuperviselyFile)


def read_classes(file: Path) -> SuperviselyClasses:
    """Read the classes in a project's meta.json.

    Raises:
        DataError: The file cannot be read, or is not Supervisely's; the message names the field.
    """
    classes = read_record(file, load_json(file), SuperviselyMeta).classes
    shaped = [each for each in classes if each.shape not in SHAPES_WITHOUT_PIXELS]
    others = [each for each in classes if each.shape in SHAPES_WITHOUT_PIXELS]
    return SuperviselyClasses(
        {str(each.title): parse_colour(each.color) for each in shaped},
        frozenset(str(each.title) for each in others),
    )


def read_record(file: Path, value: Any, record: type[Any]) -> Any:
    """Return the content of a file as a record.

    Raises:
        DataError: A field is missing or invalid; the message names the field.
    """
    try:
        return convert_record(value, record)
    except JsonValueError as error:
        raise DataError(f"{file} is not what Supervisely writes: {error}") from None


def object_mask(shape: SuperviselyObject, size: tuple[int, int]) -> Mask:
    """Return the mask of an object that has pixels; of several polygons, the others are holes.

    Args:
        shape: Object with pixels.
        size: Height and width of its image.

    Raises:
        DataError: The shape is invalid, or not known; the message is the end of a sentence.
    """
    if shape.kind in BITMAPS:
        bitmap = shape.bitmap if shape.kind == "bitmap" else shape.alpha_mask
        if bitmap is None:
            raise DataError(f"is a {shape.kind} without data: draw it again")
        left, top = read_polygons([[*bitmap.origin] * MIN_CORNERS])[0][:2].tolist()
        return place_mask(decode_bitmap(bitmap.data, size), left, top, size)
    points = shape.points or EMPTY
    if shape.kind == "rectangle":
        corners = np.array(points.exterior, np.float64).reshape(-1, 2)
        if len(corners) != 2 or not np.isfinite(corners).all():
            raise DataError(f"is a rectangle of {len(corners)} points, two make one: draw it again")
        low, high = corners.min(0), corners.max(0)
        return round_polygons(read_polygons([rectangle_polygon(*low, *high)]))
    if shape.kind == "polygon":
        exterior = read_polygons([points.exterior])
        return round_polygons([*exterior, *read_polygons(points.interior)])
    raise DataError(f"has the shape {shape.kind[:40]!r}, which is not known: make it a polygon")


def round_polygons(polygons: list[np.ndarray]) -> list[np.ndarray]:
    """Return polygons whose points are pixels, rounded as Supervisely does."""
    return [np.rint(polygon) for polygon in polygons]


def decode_bitmap(text: str, size: tuple[int, int]) -> np.ndarray:
    """Decode a mask.

    Raises:
        DataError: The mask is damaged, or larger than its image; the message is the end of a
            sentence.
    """
    try:
        packed = base64.b64decode(text)
    except (ValueError, binascii.Error) as error:
        raise DataError(f"has a mask that is not base64 ({error}): export it again") from None
    try:
        data = zlib.decompressobj().decompress(packed, MAX_BITMAP_BYTES)
    except zlib.error:
        data = packed  # some releases do not compress the PNG
    return decode_mask_image(data, size, uses_alpha=True)
