"""Define the records of Label Studio's exports, and convert their regions to masks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import numpy as np

from unimask.datasets.objects.coco_records import parse_side_length
from unimask.datasets.objects.collector import UNLABELLED
from unimask.datasets.objects.cvat_xml import parse_number_or_zero
from unimask.datasets.objects.label_studio_rle import decode_brush
from unimask.datasets.objects.outlines import (
    MIN_CORNERS,
    Mask,
    ellipse_polygon,
    read_polygons,
)
from unimask.errors import DataError
from unimask.formats.json_values import (
    Flag,
    JsonValueError,
    Number,
    abbreviate,
    convert_record,
    normalize_fields,
    parse_flag,
    parse_text,
)

GEOMETRY_FIELDS = ("rle", "points", "radiusX", "height", "vertices", "imageDataURL")
"""Fields of which a region with pixels has one."""

LABEL_SUFFIX = "labels"
"""Suffix of the fields that hold the labels of a region, such as "polygonlabels"."""

NUMBERS = ("x", "y", "width", "height", "radiusX", "radiusY", "rotation")
"""Fields of regions that are numbers: shares of the sides in percent, and degrees."""


class LabelStudioRegion(msgspec.Struct):
    """Shape of a region, in percent of the sides of its image."""

    original_width: Number = None
    original_height: Number = None
    image_rotation: Number = None
    x: Number = None
    y: Number = None
    width: Number = None
    height: Number = None
    radiusX: Number = None
    radiusY: Number = None
    rotation: Number = None
    points: list[tuple[float, float]] | None = None
    closed: Flag = True
    rle: list[int] | None = None
    vertices: Any = None
    imageDataURL: Any = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "original_width": parse_side_length,
        "original_height": parse_side_length,
        "image_rotation": parse_number_or_zero,
        "closed": parse_flag,
        **dict.fromkeys(NUMBERS, parse_number_or_zero),
    }

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return int(self.original_height or 0), int(self.original_width or 0)


@dataclass(frozen=True, slots=True)
class Region:
    """Region of an image.

    Attributes:
        label: Name of its class.
        shape: Shape of the region; None if it has no pixels.
        kind: Type of the region in Label Studio.
    """

    label: str
    shape: LabelStudioRegion | None
    kind: str


class LabelStudioAnnotation(msgspec.Struct):
    """Annotation of a task by one annotator."""

    result: list[dict[str, Any]] = []
    was_cancelled: Flag = None
    ground_truth: Flag = None
    updated_at: Any = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "was_cancelled": parse_flag,
        "ground_truth": parse_flag,
    }

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)

    @property
    def rank(self) -> tuple[bool, str]:
        """Sort key of several annotations of one task: ground truth, then the latest, wins."""
        return bool(self.ground_truth), str(self.updated_at or "")


def read_regions(results: list[dict[str, Any]]) -> Iterator[Region]:
    """Yield the regions of an annotation.

    A shape and its label may be two results of the same id.

    Raises:
        JsonValueError: A field is missing or invalid.
    """
    groups: dict[Any, list[dict[str, Any]]] = {}
    for number, result in enumerate(results):
        key = result.get("id")
        groups.setdefault(key if isinstance(key, str) else number, []).append(flatten(result))
    for number, members in enumerate(groups.values(), start=1):
        labels = {label: None for member in members for label in read_labels(member)}
        shaped = [member for member in members if any(key in member for key in GEOMETRY_FIELDS)]
        kind = str(members[0].get("type") or next(iter(members[0]), "region"))
        if len(labels) > 1 and shaped:
            raise JsonValueError(f"region {number} has the labels {', '.join(labels)}: keep one")
        label = next(iter(labels), UNLABELLED)
        if shaped:
            yield Region(
                label, convert_record(shaped[0], LabelStudioRegion, f"region {number}"), kind
            )
        elif labels:
            yield Region(label, None, kind)


def flatten(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result with the fields of its value beside its own, as JSON-MIN has them."""
    value = result.get("value")
    return {**result, **value} if isinstance(value, dict) else dict(result)


def read_labels(fields: Mapping[str, Any]) -> list[str]:
    """Return the labels of a region.

    Raises:
        JsonValueError: A label is not text.
    """
    lists = [
        value
        for key, value in fields.items()
        if key.endswith(LABEL_SUFFIX) and isinstance(value, list)
    ]
    return [parse_text(label).strip() for labels in lists for label in labels]


def region_mask(region: Region) -> Mask:
    """Return the mask of a region that has a shape; empty if its drawing was broken off.

    Raises:
        DataError: The shape is not known, or invalid; the message is the end of a sentence.
    """
    shape = region.shape or LabelStudioRegion()
    height, width = shape.size
    if not height or not width:
        raise DataError("lacks original_width and original_height: export the project again")
    if shape.rle is not None:
        return decode_brush(shape.rle, shape.size)
    if shape.vertices is not None or shape.imageDataURL is not None:
        raise DataError(
            f"is of the type {abbreviate(region.kind)}, which is not read: use polygons"
        )
    if parse_number_or_zero(shape.image_rotation) % 360:
        raise DataError(
            f"was drawn on an image rotated by {shape.image_rotation} degrees: rotate it back in "
            "Label Studio, and export again"
        )
    scale = np.array([width, height]) / 100
    x, y, w, h, radius_x, radius_y, degrees = (float(getattr(shape, key) or 0) for key in NUMBERS)
    if shape.points is not None:
        points = np.array(shape.points, np.float64).reshape(-1, 2) * scale
        return read_polygons([points]) if len(points) >= MIN_CORNERS and shape.closed else []
    (x, y), (w, h) = (x, y) * scale, (w, h) * scale
    if radius_x and radius_y:
        radius_x, radius_y = (radius_x, radius_y) * scale
        return read_polygons([ellipse_polygon(x, y, radius_x, radius_y, degrees)])
    return read_polygons([rotated_rectangle(x, y, w, h, degrees)]) if w and h else []


def rotated_rectangle(
    x: float, y: float, width: float, height: float, degrees: float
) -> np.ndarray:
    """Return the corners of a rectangle that is rotated clockwise about its first corner."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    along, across = width * np.array([cosine, sine]), height * np.array([-sine, cosine])
    first = np.array([x, y])
    return np.stack([first, first + along, first + along + across, first + across])
