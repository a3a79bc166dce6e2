"""Define the records of COCO's JSON files: images, categories, annotations, segments.

Fields that are never read are not declared, so that other tools may store anything in them.
"""

import re
from collections.abc import Sequence
from math import inf, isnan
from typing import Any, ClassVar

import msgspec

from unimask.datasets.objects.outlines import MAX_COORDINATE
from unimask.formats.json_values import (
    MAX_ID,
    Flag,
    Id,
    Number,
    normalize_fields,
    normalize_id,
    parse_class_name,
    parse_flag,
    parse_float,
    parse_integer,
    parse_text,
)

LOSSY_SUFFIX = re.compile(r"\.jpe?g\Z", re.IGNORECASE)
"""Suffix of files that cannot hold segment ids."""


def parse_side_length(value: object) -> int:
    """Return a height or width; 0 if it is absent."""
    return 0 if isnan(parse_float(value)) else parse_integer(value, int(MAX_COORDINATE))


def parse_optional_id(value: object) -> int | str | None:
    """Return an id; None if it is absent."""
    return None if value is None else normalize_id(value)


def parse_area(value: object) -> float:
    """Return an area; NaN if absent, negative or infinite, so that the mask's area is used."""
    area = parse_float(value)
    return area if 0 <= area < float("inf") else float("nan")


def numeric_ids(ids: Sequence[Id]) -> tuple[int, ...]:
    """Return the ids if all are numbers, else an empty tuple."""
    numbers = tuple(id for id in ids if isinstance(id, int))
    return numbers if len(numbers) == len(ids) else ()


class CocoRecord(msgspec.Struct):
    """Record whose fields are normalised after parsing."""

    NORMAL_FORM: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)


class CocoImage(CocoRecord):
    """Image; height and width are 0 if the file lacks them."""

    id: Id
    file_name: str
    height: Number = None
    width: Number = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "id": normalize_id,
        "file_name": parse_text,
        "height": parse_side_length,
        "width": parse_side_length,
    }


def add_file_name(item: Any) -> Any:
    """Return an image with its URL as file name where it has only that, as those of LVIS."""
    is_complete = not isinstance(item, dict) or "file_name" in item or "coco_url" not in item
    return item if is_complete else {**item, "file_name": item["coco_url"]}


class CocoCategory(CocoRecord):
    """Category of COCO instances."""

    id: Id
    name: Id
    supercategory: Any = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"id": normalize_id, "name": parse_class_name}


class CocoPanopticCategory(CocoRecord):
    """Category of COCO panoptic."""

    id: Id
    name: Id
    isthing: Flag

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "id": normalize_id,
        "name": parse_class_name,
        "isthing": parse_flag,
    }


class CocoAnnotation(CocoRecord):
    """Object annotation. `coco_reader.read_mask` reads its outline, which has many forms."""

    image_id: Id
    category_id: Id
    id: Id | None = None
    segmentation: Any = None
    bbox: Any = None
    area: Number = None
    iscrowd: Flag = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "image_id": normalize_id,
        "category_id": normalize_id,
        "id": parse_optional_id,
        "area": parse_area,
        "iscrowd": parse_flag,
    }

    def __post_init__(self) -> None:
        """Skip normalisation of regular fields, which nearly all annotations of a file have."""
        ids = self.image_id, self.category_id, self.id
        has_integer_ids = all(type(id) is int and 0 <= id < MAX_ID for id in ids)
        area = self.area
        if not (
            has_integer_ids and self.iscrowd in (0, 1) and type(area) is float and 0 <= area < inf
        ):
            normalize_fields(self, self.NORMAL_FORM)


class CocoSegment(CocoRecord):
    """Segment of COCO panoptic."""

    id: Number
    category_id: Id
    iscrowd: Flag = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "id": lambda value: parse_integer(value, 256**3 - 1, 1),
        "category_id": normalize_id,
        "iscrowd": parse_flag,
    }


def to_png_name(name: str) -> str:
    """Return the name of a PNG of segment ids; some tools write that of the JPEG image instead."""
    return LOSSY_SUFFIX.sub(".png", name)


class CocoPanopticImage(CocoRecord):
    """Segments of one image, an item of "annotations" in COCO panoptic."""

    image_id: Id
    file_name: str
    segments_info: list[CocoSegment]

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "image_id": normalize_id,
        "file_name": lambda value: to_png_name(parse_text(value)),
    }
