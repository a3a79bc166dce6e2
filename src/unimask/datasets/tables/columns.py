"""Determine the role of each column of a table: by the type of its cells first, then by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimask.datasets.maps.folder_words import role_from_names
from unimask.errors import DataError

IMAGE_COLUMNS = ("image", "pixel_values", "img", "picture", "photo", "rgb", "input", "jpg", "png")

OUTLINE_FIELDS = (
    "segmentation",
    "segmentations",
    "segments",
    "polygon",
    "polygons",
    "masks",
    "mask",
)
CATEGORY_FIELDS = (
    "category",
    "category_id",
    "categories",
    "category_ids",
    "label",
    "labels",
    "class",
)
BOX_FIELDS = ("bbox", "bboxes", "box", "boxes")
CROWD_FIELDS = ("iscrowd", "is_crowd", "crowd")
ID_FIELDS = ("id", "ids", "object_id", "segment_id", "annotation_id")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that are read.

    Attributes:
        image: Column of the images.
        map: Column of the label maps; None if there are none.
        objects: Column of the lists of objects; empty if there are none.
    """

    image: str
    map: str | None
    objects: str = ""


def is_image(feature: object) -> bool:
    """Return whether the cells of a column hold images: as images, or as bytes beside a path."""
    from datasets import Image

    return isinstance(feature, Image) or (
        isinstance(feature, Mapping) and feature.keys() == {"bytes", "path"}
    )


def object_fields(feature: Any) -> Mapping[str, Any]:
    """Return the fields of the objects that cells list; empty if they do not list objects."""
    from datasets import LargeList, List

    inner = feature.feature if isinstance(feature, List | LargeList) else feature
    return inner if isinstance(inner, Mapping) else {}


def first_field(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """Return the first of some names that is a field; None if none is."""
    return next((name for name in names if name in fields), None)


def find_columns(features: Mapping[str, Any], place: Path) -> Columns:
    """Determine the columns of images and labels.

    A map is a second column of images, preferably one named like labels. Objects are lists of
    classes with outlines or boxes; those with outlines take precedence over maps.

    Raises:
        DataError: There is no column of images, or none of labels.
    """
    images = [name for name, feature in features.items() if is_image(feature)]
    maps = [name for name in images if role_from_names((name,)) == "map"]
    image_columns = [name for name in images if name not in maps]
    first = first_field(dict.fromkeys(image_columns), IMAGE_COLUMNS) or next(
        iter(image_columns), None
    )
    if first is None:
        raise DataError(
            f"{place} has no column of images, but {', '.join(features)}: cast one to Image()"
        )
    rest = [*maps, *(name for name in image_columns if name != first and not maps)]
    lists = {
        n: object_fields(f)
        for n, f in features.items()
        if first_field(object_fields(f), CATEGORY_FIELDS)
    }
    outline_column = next(
        (name for name, fields in lists.items() if first_field(fields, OUTLINE_FIELDS)), None
    )
    if outline_column is not None:
        return Columns(first, None, outline_column)
    if rest:
        return Columns(first, rest[0])
    box_column = next(
        (name for name, fields in lists.items() if first_field(fields, BOX_FIELDS)), None
    )
    if box_column is not None:
        return Columns(first, None, box_column)
    raise DataError(
        f"{place} has images ({first}), but no labels for segmentation among "
        f"{', '.join(features)}: expected a second column of images, such as annotation, or "
        "objects with category and segmentation"
    )
