"""LabelMe's JSON files as records, and their shapes as masks."""

import base64
import io
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
from PIL import Image

from unimask.datasets.coco_records import optional_id, side_length
from unimask.datasets.outlines import FARTHEST, Mask, ellipse, placed, read_polygons, rectangle
from unimask.errors import DataError
from unimask.formats.json_stream import load_json
from unimask.formats.json_values import (
    Id,
    JsonValueError,
    Number,
    normalize_fields,
    plain_text,
    read_record,
    text_or_number,
)
from unimask.processing.pictures import no_limit_of_pil

SHAPELESS = frozenset(("point", "points", "line", "linestrip"))
"""Shapes without pixels."""

POLYGONS = frozenset(("polygon", "rotation", "oriented_rectangle"))
"""Shapes whose points are corners."""


def class_name(value: object) -> str:
    """Return the label of a shape.

    Raises:
        JsonValueError: It is no name, or is empty.
    """
    name = text_or_number(value)
    if not name.strip():
        raise JsonValueError("is empty: expected the name of a class")
    return name


class LabelmeShape(msgspec.Struct):
    """A shape. `group_id` joins shapes of one label to one object."""

    label: Id
    points: list[tuple[float, float]]
    shape_type: str | None = None
    group_id: Id | None = None
    mask: str | None = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"label": class_name, "group_id": optional_id}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def kind(self) -> str:
        """Its type; a polygon where the file does not tell."""
        return self.shape_type or "polygon"


class LabelmeFile(msgspec.Struct):
    """The shapes of an image; height and width are 0 where the file lacks them."""

    shapes: list[LabelmeShape]
    imagePath: str | None = None
    imageHeight: Number = None
    imageWidth: Number = None
    imageData: str | None = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "imagePath": lambda value: plain_text(value or ""),
        "imageHeight": side_length,
        "imageWidth": side_length,
    }

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image, 0 where the file lacks one of them."""
        height, width = int(self.imageHeight or 0), int(self.imageWidth or 0)
        return (height, width) if height > 0 and width > 0 else (0, 0)

    def head(self) -> "LabelmeFile":
        """Return the record without its shapes, and with one character of its image."""
        image = self.imageData[:1] if self.imageData else None
        return LabelmeFile([], self.imagePath, self.imageHeight, self.imageWidth, image)


def read_labelme(file: Path) -> LabelmeFile:
    """Read a LabelMe JSON.

    Raises:
        DataError: It cannot be read, or is none; the message names the field.
    """
    try:
        return read_record(load_json(file), LabelmeFile)
    except JsonValueError as error:
        raise DataError(f"{file} is not what LabelMe writes: {error}") from None


def embedded_image(file: Path) -> bytes:
    """Return the image file that a LabelMe JSON holds as text.

    Raises:
        DataError: There is none, or it is not base64.
    """
    try:
        return base64.b64decode(read_labelme(file).imageData or "", validate=False)
    except ValueError as error:
        raise DataError(f"{file}: its imageData is no base64 ({error}): save it again") from None


def shape_mask(shape: LabelmeShape, size: tuple[int, int]) -> Mask:
    """Return one shape as a mask.

    Args:
        shape: It has pixels.
        size: Height and width of its image.

    Raises:
        DataError: It encloses nothing, or its type is unknown; the message is the end of a
            sentence.
    """
    kind, count = shape.kind, len(shape.points)
    points = np.array(shape.points, np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise DataError("has points that are no numbers: draw it again")
    if np.abs(points).max(initial=0) > FARTHEST:
        raise DataError("has coordinates that are no place in a picture: draw it again")
    flat = points.ravel().tolist()
    if kind == "mask" or kind == "circle" or (kind == "rectangle" and count != 4):
        if count != 2:
            raise DataError(f"is a {kind} of {count} points, two make one: draw it again")
    elif kind not in POLYGONS and kind != "rectangle":
        raise DataError(f"has the shape_type {kind[:40]!r}, which is not known: make it a polygon")
    if kind == "mask":
        return placed(read_png(shape.mask, size), flat[0], flat[1], size)
    if kind == "rectangle" and count == 2:
        flat = rectangle(*flat)
    elif kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        flat = ellipse(flat[0], flat[1], radius, radius)
    polygons = read_polygons([flat])
    if not polygons:
        raise DataError(f"is a {kind} of {count} points, three make one: draw it again")
    return polygons


def read_png(text: str | None, size: tuple[int, int]) -> np.ndarray:
    """Read a mask that LabelMe's AI drew.

    Raises:
        DataError: It is no image, or larger than the image that it is of; the message is the end
            of a sentence.
    """
    try:
        with no_limit_of_pil():
            picture = Image.open(io.BytesIO(base64.b64decode(text or "")))
        with picture:
            shape = picture.height, picture.width
            if shape[0] <= size[0] and shape[1] <= size[1]:  # and so no bomb
                return np.asarray(picture.convert("L")) > 0
    except Exception as error:  # decoders raise whatever their format suggests
        raise DataError(f"has a mask that is no picture ({error}): draw it again") from None
    raise DataError(f"has a mask of {shape[1]} x {shape[0]}, larger than its image: draw it again")
