"""Define the records of LabelMe's JSON files, and convert their shapes to masks."""

import base64
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from unimask.datasets.objects.coco_records import parse_optional_id, parse_side_length
from unimask.datasets.objects.mask_images import decode_mask_image
from unimask.datasets.objects.outlines import (
    MAX_COORDINATE,
    MIN_CORNERS,
    Mask,
    ellipse_polygon,
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
    parse_class_name,
    parse_text,
)

SHAPES_WITHOUT_PIXELS = frozenset(("point", "points", "line", "linestrip"))
"""Shape types without pixels."""

POLYGON_SHAPES = frozenset(("polygon", "rotation", "oriented_rectangle"))
"""Shape types whose points are the corners of a polygon."""

MIN_POINTS = dict.fromkeys(POLYGON_SHAPES, MIN_CORNERS) | {"rectangle": 2, "circle": 2}
"""Number of points that a shape of each type needs."""


def parse_label(value: object) -> str:
    """Return the label of a shape.

    Raises:
        JsonValueError: The label is not a name, or is empty.
    """
    name = parse_class_name(value)
    if not name.strip():
        raise JsonValueError("is empty: expected the name of a class")
    return name


class LabelmeShape(msgspec.Struct):
    """Shape of an image; shapes with the same label and `group_id` form one object."""

    label: Id
    points: list[tuple[float, float]]
    shape_type: str | None = None
    group_id: Id | None = None
    mask: str | None = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"label": parse_label, "group_id": parse_optional_id}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def kind(self) -> str:
        """Shape type; "polygon" if the file does not state it."""
        return self.shape_type or "polygon"

    @property
    def is_unfinished(self) -> bool:
        """Whether points are missing, as in shapes whose drawing was broken off."""
        return len(self.points) < MIN_POINTS.get(self.kind, 0)

    @property
    def has_pixels(self) -> bool:
        """Whether the shape encloses pixels."""
        return self.kind not in SHAPES_WITHOUT_PIXELS and not self.is_unfinished


class LabelmeFile(msgspec.Struct):
    """Shapes of an image; height and width are 0 if the file lacks them."""

    shapes: list[LabelmeShape]
    imagePath: str | None = None
    imageHeight: Number = None
    imageWidth: Number = None
    imageData: str | None = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "imagePath": lambda value: parse_text(value or ""),
        "imageHeight": parse_side_length,
        "imageWidth": parse_side_length,
    }

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels, (0, 0) if the file lacks one of them."""
        height, width = int(self.imageHeight or 0), int(self.imageWidth or 0)
        return (height, width) if height > 0 and width > 0 else (0, 0)

    def head(self) -> "LabelmeFile":
        """Return the record without shapes, and with one character of the embedded image."""
        image = self.imageData[:1] if self.imageData else None
        return LabelmeFile([], self.imagePath, self.imageHeight, self.imageWidth, image)


def read_labelme(file: Path) -> LabelmeFile:
    """Read a LabelMe JSON file.

    Raises:
        DataError: The file cannot be read, or is not LabelMe's; the message names the field.
    """
    try:
        return convert_record(load_json(file), LabelmeFile)
    except JsonValueError as error:
        raise DataError(f"{file} is not what LabelMe writes: {error}") from None


def embedded_image(file: Path) -> bytes:
    """Return the image file embedded in a LabelMe JSON file.

    Raises:
        DataError: The embedded image is not valid base64.
    """
    try:
        return base64.b64decode(read_labelme(file).imageData or "", validate=False)
    except ValueError as error:
        raise DataError(f"{file}: its imageData is not base64 ({error}): save it again") from None


def shape_mask(shape: LabelmeShape, size: tuple[int, int]) -> Mask:
    """Return one shape as a mask.

    Args:
        shape: Shape of a type that has pixels.
        size: Height and width of its image.

    Raises:
        DataError: The shape encloses nothing, or its type is unknown; the message is the end of a
            sentence.
    """
    kind, count = shape.kind, len(shape.points)
    points = np.array(shape.points, np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise DataError("has points that are not numbers: draw it again")
    if np.abs(points).max(initial=0) > MAX_COORDINATE:
        raise DataError("has coordinates that cannot lie in an image: draw it again")
    flat = points.ravel().tolist()
    if kind == "mask" or kind == "circle" or (kind == "rectangle" and count != 4):
        if count != 2:
            raise DataError(f"is a {kind} of {count} points, two make one: draw it again")
    elif kind not in POLYGON_SHAPES and kind != "rectangle":
        raise DataError(f"has the shape_type {kind[:40]!r}, which is not known: make it a polygon")
    if kind == "mask":
        return place_mask(decode_mask(shape.mask, size), flat[0], flat[1], size)
    if kind == "rectangle" and count == 2:
        flat = rectangle_polygon(*flat)
    elif kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        flat = ellipse_polygon(flat[0], flat[1], radius, radius)
    polygons = read_polygons([flat])
    if not polygons:
        raise DataError(f"is a {kind} of {count} points, three make one: draw it again")
    return polygons


def decode_mask(text: str | None, size: tuple[int, int]) -> np.ndarray:
    """Decode a mask that LabelMe's AI tools drew.

    Raises:
        DataError: The mask is not an image, or is larger than its image; the message is the end of
            a sentence.
    """
    try:
        data = base64.b64decode(text or "")
    except ValueError as error:
        raise DataError(f"has a mask that is not an image ({error}): draw it again") from None
    return decode_mask_image(data, size)
