"""Records of result files: COCO results, COCO panoptic, and the JSON of `Result.save`."""

from collections.abc import Callable
from math import isfinite
from typing import Any, ClassVar

import msgspec

from unimask.formats.json_values import (
    Id,
    JsonValueError,
    Number,
    abbreviate,
    normalize_fields,
    normalize_id,
    parse_float,
    parse_integer,
    parse_text,
)
from unimask.labels import Task

MAX_SEGMENT_ID = 256**3 - 1
"""Largest id that the colours of a PNG can encode."""


def parse_score(value: object) -> float:
    """Parse a score.

    Raises:
        JsonValueError: It is not a finite number.
    """
    number = parse_float(value)
    if not isfinite(number):
        raise JsonValueError(f"is {abbreviate(value)}: expected a finite number")
    return number


def parse_segment_id(value: object) -> int:
    """Parse the id of a segment."""
    return parse_integer(value, MAX_SEGMENT_ID)


class ResultRecord(msgspec.Struct):
    """A record whose fields are converted to their normal form."""

    NORMAL_FORM: ClassVar[dict[str, Callable[[object], object]]] = {}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)


class InstanceEntry(ResultRecord):
    """An entry of COCO results; `RunLength.from_coco` parses its mask."""

    image_id: Id
    category_id: Id
    segmentation: Any
    score: Number

    NORMAL_FORM: ClassVar[dict[str, Callable[[object], object]]] = {
        "image_id": normalize_id,
        "category_id": normalize_id,
        "score": parse_score,
    }


class PanopticSegment(ResultRecord):
    """A segment of COCO panoptic."""

    id: Number
    category_id: Id

    NORMAL_FORM: ClassVar[dict[str, Callable[[object], object]]] = {
        "id": parse_segment_id,
        "category_id": normalize_id,
    }


class PanopticEntry(ResultRecord):
    """The segments of an image in COCO panoptic."""

    file_name: str
    segments_info: list[PanopticSegment]
    image_id: Id | None = None

    NORMAL_FORM: ClassVar[dict[str, Callable[[object], object]]] = {
        "file_name": parse_text,
        "image_id": lambda value: None if value is None else normalize_id(value),
    }


class SavedSegment(msgspec.Struct):
    """A segment in the JSON of `Result.save`."""

    label_id: int
    rle: dict[str, Any]
    score: float | None = None


class SavedResult(msgspec.Struct):
    """The JSON that `Result.save` writes for an image."""

    task: Task
    labels: list[str]
    segments: list[SavedSegment]
    image: str | None = None
    is_thing: list[bool] | None = None
