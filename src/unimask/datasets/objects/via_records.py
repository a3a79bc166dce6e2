"""Define the records of VIA's files, and convert their regions to polygons."""

import csv
import json
from collections.abc import Iterator
from math import degrees, isnan
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from unimask.datasets.objects.cvat_xml import parse_coordinate
from unimask.datasets.objects.json_kinds import VIA_PROJECT_KEY, outline_of
from unimask.datasets.objects.outlines import (
    MIN_CORNERS,
    Mask,
    ellipse_polygon,
    read_polygons,
    rectangle_polygon,
)
from unimask.errors import DataError
from unimask.formats.json_stream import stream_members
from unimask.formats.json_values import (
    JsonValueError,
    Number,
    abbreviate,
    convert_record,
    normalize_fields,
    parse_float,
    parse_text,
)
from unimask.formats.text_file import read_text

SHAPES_WITHOUT_PIXELS = frozenset(("point", "polyline", "line"))
"""Shapes that enclose no pixels."""

ATTRIBUTES_KEY = "_via_attributes"
"""Key of the definitions of attributes in a VIA project file."""

CSV_COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
"""Columns of VIA's CSV that are read; some releases write "#filename"."""

MAX_CSV_FIELD = 1 << 24
"""Maximum number of characters of a field in a CSV."""

NUMBERS = ("x", "y", "width", "height", "cx", "cy", "r", "rx", "ry", "theta")
"""Fields of shapes that are numbers."""


class ViaShape(msgspec.Struct):
    """Shape of a region; fields that its kind does not have are NaN or empty."""

    name: str
    all_points_x: list[float] = []
    all_points_y: list[float] = []
    x: Number = None
    y: Number = None
    width: Number = None
    height: Number = None
    cx: Number = None
    cy: Number = None
    r: Number = None
    rx: Number = None
    ry: Number = None
    theta: Number = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = dict.fromkeys(NUMBERS, parse_coordinate)

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def is_unfinished(self) -> bool:
        """Whether points are missing, as in polygons whose drawing was broken off."""
        return self.name == "polygon" and len(self.all_points_x) < MIN_CORNERS


class ViaRegion(msgspec.Struct):
    """Region of an image; an image without attributes has none or an empty list of them."""

    shape_attributes: ViaShape
    region_attributes: Any = None

    @property
    def attributes(self) -> dict[str, str]:
        """Values of the attributes that have one."""
        pairs = self.region_attributes
        values = {k: read_value(v) for k, v in pairs.items()} if isinstance(pairs, dict) else {}
        return {name: value for name, value in values.items() if value}


class ViaImage(msgspec.Struct):
    """Image with its regions: a list in VIA 2, an object with numbers as keys in VIA 1."""

    filename: str
    regions: list[ViaRegion] | dict[str, ViaRegion] = []

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"filename": parse_text}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def region_list(self) -> list[ViaRegion]:
        """Regions in their order."""
        return list(self.regions.values()) if isinstance(self.regions, dict) else self.regions


def read_value(value: object) -> str:
    """Return the value of an attribute as text; several checked boxes are joined by commas.

    Raises:
        JsonValueError: The value is a list, or text that cannot be a name.
    """
    if isinstance(value, dict):  # checkboxes: {"cat": true}
        return ",".join(sorted(parse_text(key) for key, checked in value.items() if checked))
    if isinstance(value, list):
        raise JsonValueError(f"region_attributes: {abbreviate(value)} is no value of an attribute")
    return "" if value is None else parse_text(str(value)).strip()


def read_via_images(file: Path) -> Iterator[ViaImage]:
    """Yield the images of a VIA project, or of annotations exported as JSON or CSV.

    Raises:
        DataError: The file cannot be read, or is not VIA's; the message names the field.
    """
    if file.suffix.lower() == ".csv":
        yield from read_csv_images(file)
        return
    key = VIA_PROJECT_KEY if VIA_PROJECT_KEY in outline_of(file).keys else None
    for name, value in stream_members(file, key):
        yield convert(file, value, ViaImage, abbreviate(name))


def read_csv_images(file: Path) -> Iterator[ViaImage]:
    """Yield the images of VIA's CSV, which has a row for each region.

    Raises:
        DataError: The file cannot be read, or a row is not VIA's.
    """
    csv.field_size_limit(MAX_CSV_FIELD)
    try:
        rows = list(csv.DictReader(read_text(file).splitlines()))
    except csv.Error as error:
        raise DataError(f"{file} cannot be read as CSV ({error}): export it again") from None
    regions: dict[str, list[Any]] = {}
    for number, row in enumerate(rows, start=2):
        name = str(row.get("filename", row.get("#filename")) or "")
        try:
            shape = json.loads(row.get("region_shape_attributes") or "{}")
            attributes = json.loads(row.get("region_attributes") or "{}")
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}: line {number} is not VIA's ({error}): export it") from None
        found = regions.setdefault(name, [])
        if shape:
            found.append({"shape_attributes": shape, "region_attributes": attributes})
    for name, members in regions.items():
        yield convert(file, {"filename": name, "regions": members}, ViaImage, abbreviate(name))


def is_via_csv(file: Path) -> bool:
    """Return whether the first line of a file has the columns of VIA's CSV."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            columns = stream.readline(1 << 12)
    except OSError:
        return False
    return all(name in columns for name in CSV_COLUMNS)


def read_choices(file: Path) -> dict[str, tuple[str, ...]]:
    """Return the attributes of regions that a VIA project defines, with the values to choose from.

    Attributes that are free text have no values.

    Raises:
        DataError: The file cannot be read.
    """
    if file.suffix.lower() == ".csv" or ATTRIBUTES_KEY not in outline_of(file).keys:
        return {}
    choices: dict[str, tuple[str, ...]] = {}
    for key, definitions in stream_members(file, ATTRIBUTES_KEY):
        for name, definition in definitions.items() if isinstance(definitions, dict) else ():
            options = definition.get("options") if isinstance(definition, dict) else None
            if key == "region":
                choices[name] = tuple(options) if isinstance(options, dict) else ()
    return choices


def convert(file: Path, value: Any, record: type[Any], location: str) -> Any:
    """Return a part of a file as a record.

    Raises:
        DataError: A field is missing or invalid; the message names the file and the field.
    """
    try:
        return convert_record(value, record, location)
    except JsonValueError as error:
        raise DataError(f"{file} is not what VIA writes: {error}") from None


def shape_polygons(shape: ViaShape) -> Mask:
    """Return the polygon of a shape that has pixels.

    Raises:
        DataError: A field is missing or the kind is unknown; the message is the end of a sentence.
    """
    if shape.name == "polygon":
        if len(shape.all_points_x) != len(shape.all_points_y):
            raise DataError(
                f"has {len(shape.all_points_x)} x and {len(shape.all_points_y)} y: draw it again"
            )
        return read_polygons([list(zip(shape.all_points_x, shape.all_points_y, strict=True))])
    if shape.name == "rect":
        x, y, width, height = read_numbers(shape, ("x", "y", "width", "height"))
        return read_polygons([rectangle_polygon(x, y, x + width, y + height)])
    if shape.name == "circle":
        x, y, radius = read_numbers(shape, ("cx", "cy", "r"))
        return read_polygons([ellipse_polygon(x, y, radius, radius)])
    if shape.name == "ellipse":
        x, y, width, height = read_numbers(shape, ("cx", "cy", "rx", "ry"))
        theta = parse_float(shape.theta)
        angle = 0.0 if isnan(theta) else degrees(theta)
        return read_polygons([ellipse_polygon(x, y, width, height, angle)])
    raise DataError(f"has the shape {shape.name[:40]!r}, which is not known: make it a polygon")


def read_numbers(shape: ViaShape, keys: tuple[str, ...]) -> list[float]:
    """Return numeric fields of a shape.

    Raises:
        DataError: A field is missing; the message is the end of a sentence.
    """
    values = [parse_float(getattr(shape, key)) for key in keys]
    absent = [key for key, value in zip(keys, values, strict=True) if isnan(value)]
    if absent:
        raise DataError(f"is not a {shape.name}: it lacks {', '.join(absent)}; draw it again")
    return values
