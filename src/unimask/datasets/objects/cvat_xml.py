"""Parse CVAT's XML files element by element, without holding a whole file in memory."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any, ClassVar
from xml.parsers import expat

import msgspec

from unimask.datasets.objects.coco_records import parse_side_length
from unimask.datasets.objects.outlines import MAX_COORDINATE
from unimask.errors import DataError
from unimask.formats.json_values import (
    Flag,
    Id,
    JsonValueError,
    Number,
    convert_record,
    normalize_fields,
    normalize_id,
    parse_flag,
    parse_float,
    parse_text,
)
from unimask.labels import Colour

MASK_SHAPES = ("polygon", "mask", "box", "ellipse")
SHAPES_WITHOUT_PIXELS = ("points", "polyline", "cuboid", "skeleton", "tag")
"""Kinds of shapes, and types of labels, that have no pixels."""

COORDINATES = ("left", "top", "width", "height", "xtl", "ytl", "xbr", "ybr", "cx", "cy", "rx", "ry")
"""Attributes that are coordinates or lengths."""

MAX_DEPTH = 64
"""Maximum nesting depth of elements; CVAT writes six levels."""


def parse_coordinate(value: object) -> float:
    """Return a coordinate; NaN if it is absent.

    Raises:
        JsonValueError: The value is not a number, or too large for a position in an image.
    """
    number = parse_float(value)
    if abs(number) > MAX_COORDINATE:
        raise JsonValueError(f"is {number:g}: expected a place in an image")
    return number


def parse_number_or_zero(value: object) -> float:
    """Return a number; 0 if it is absent.

    Raises:
        JsonValueError: The value is not a number, or too large.
    """
    number = parse_coordinate(value)
    return 0.0 if isnan(number) else number


def parse_group_id(value: object) -> int | str:
    """Return a group id; 0 for none."""
    return 0 if value in (None, "") else normalize_id(value)


class CvatImage(msgspec.Struct):
    """Attributes of an image."""

    name: str
    width: Number
    height: Number
    subset: str = ""

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "name": parse_text,
        "width": parse_side_length,
        "height": parse_side_length,
    }

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, (0, 0) if the file lacks one of them."""
        height, width = int(self.height or 0), int(self.width or 0)
        return (height, width) if height > 0 and width > 0 else (0, 0)


class CvatShape(msgspec.Struct):
    """Attributes of a shape; those that its kind does not have are NaN or empty."""

    label: str
    group_id: Id = 0
    z_order: Number = 0
    rotation: Number = 0
    outside: Flag = None
    points: str = ""
    rle: str = ""
    left: Number = None
    top: Number = None
    width: Number = None
    height: Number = None
    xtl: Number = None
    ytl: Number = None
    xbr: Number = None
    ybr: Number = None
    cx: Number = None
    cy: Number = None
    rx: Number = None
    ry: Number = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "group_id": parse_group_id,
        "z_order": parse_number_or_zero,
        "rotation": parse_number_or_zero,
        "outside": parse_flag,
        **dict.fromkeys(COORDINATES, parse_coordinate),
    }

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)


@dataclass(slots=True)
class CvatHead:
    """Content of an XML file besides its shapes.

    Attributes:
        images: All images in the order of the file.
        labels: Labels that may have pixels, with their colours, in the order of the file.
    """

    images: list[CvatImage] = field(default_factory=list)
    labels: dict[str, Colour | None] = field(default_factory=dict)


def read_head(file: Path) -> CvatHead:
    """Read the images and labels of an XML file.

    Raises:
        DataError: The file cannot be read, is CVAT for video, or has an image without name or size.
    """
    head, label = CvatHead(), dict[str, str]()

    def start(path: list[str], attributes: dict[str, str]) -> None:
        if path[1:] == ["track"]:
            raise DataError(f"{file} is CVAT for video: export the task as 'CVAT for images 1.1'")
        if path[1:] == ["image"]:
            where = f"image {len(head.images) + 1}"
            head.images.append(parse_record(file, attributes, CvatImage, where))
        elif path[-2:] == ["labels", "label"]:
            label.clear()

    def end(path: list[str], text: str) -> None:
        if path[-3:-1] == ["labels", "label"]:
            label[path[-1]] = text
        elif path[-2:] == ["labels", "label"] and path[1] == "meta" and "parent" not in label:
            add_label(head, label)

    parse_xml(file, start, end)
    return head


def add_label(head: CvatHead, label: Mapping[str, str]) -> None:
    """Add a label if it may have pixels."""
    if label.get("type") not in SHAPES_WITHOUT_PIXELS:
        name = label.get("name", "").strip()
        head.labels.setdefault(name, parse_colour(label.get("color", "")))


def parse_colour(text: str) -> Colour | None:
    """Parse a colour as in HTML, such as "#ff8000"; return None for anything else."""
    digits = re.fullmatch("#([0-9a-fA-F]{6})", text.strip())
    if digits is None:
        return None
    red, green, blue = bytes.fromhex(digits[1])
    return red, green, blue


Elements = list[tuple[str, CvatShape | None]]
"""Tag and attributes of each element in an image; None for elements without pixels."""


def read_shapes(file: Path, add_image: Callable[[int, Elements], None]) -> None:
    """Read the shapes of an XML file, image by image.

    Args:
        file: Path of the XML file.
        add_image: Function called with each image's number in the file, counted from 0, and its
            elements.

    Raises:
        DataError: The file cannot be read, or an attribute is invalid.
    """
    number, shapes = 0, list[tuple[str, CvatShape | None]]()

    def start(path: list[str], attributes: dict[str, str]) -> None:
        if len(path) == 3 and path[1] == "image":
            where = f"{path[2]}, shape {len(shapes) + 1} of image {number + 1}"
            shaped = path[2] in MASK_SHAPES
            shapes.append(
                (path[2], parse_record(file, attributes, CvatShape, where) if shaped else None)
            )

    def end(path: list[str], text: str) -> None:
        nonlocal number
        del text
        if path[1:] == ["image"]:
            add_image(number, shapes)
            number += 1
            shapes.clear()

    parse_xml(file, start, end)


def parse_record(file: Path, attributes: dict[str, str], record: type[Any], location: str) -> Any:
    """Return attributes as a record.

    Raises:
        DataError: An attribute is missing or invalid.
    """
    try:
        return convert_record(attributes, record)
    except JsonValueError as error:
        raise DataError(f"{file}: {location}: {error}; export it again") from None


def parse_xml(
    file: Path,
    start: Callable[[list[str], dict[str, str]], None],
    end: Callable[[list[str], str], None],
) -> None:
    """Parse an XML file; a document type is refused because its entities could expand without end.

    Args:
        file: Path of the XML file.
        start: Function called with the tags from the root to each element, and its attributes.
        end: Function called with the same tags, and the text that precedes the element's end.

    Raises:
        DataError: The file cannot be read, or is not such an XML file.
    """
    path, text = list[str](), list[str]()

    def open_element(tag: str, attributes: dict[str, str]) -> None:
        path.append(tag)
        text.clear()
        if len(path) > MAX_DEPTH:
            raise DataError(f"{file} is nested too deeply for labels: export it again")
        start(path, attributes)

    def close_element(tag: str) -> None:
        del tag
        end(path, "".join(text))
        path.pop()
        text.clear()

    def refuse_doctype(*_: object) -> None:
        raise DataError(f"{file} has a document type, which CVAT writes none of: export it again")

    try:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = open_element, close_element
        parser.CharacterDataHandler = text.append
        parser.StartDoctypeDeclHandler = refuse_doctype
        with file.open("rb") as stream:
            parser.ParseFile(stream)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise DataError(f"{file} cannot be read as XML ({error}): export it again") from None
