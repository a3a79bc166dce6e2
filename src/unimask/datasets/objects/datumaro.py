"""Read Datumaro's own format: a JSON of items for each subset, and folders of images."""

from collections.abc import Sequence
from functools import partial
from math import isnan
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from unimask.datasets.image_files import find_images
from unimask.datasets.interface import (
    ALL_IMAGES,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.objects.coco_find import IMAGE_FOLDERS
from unimask.datasets.objects.coco_reader import box_polygon, read_mask
from unimask.datasets.objects.coco_records import CocoRecord, parse_side_length
from unimask.datasets.objects.collector import UNLABELLED, ObjectCollector
from unimask.datasets.objects.dataset import ObjectDataset
from unimask.datasets.objects.json_kinds import find_json_files, is_datumaro
from unimask.datasets.objects.labelme_records import parse_label
from unimask.datasets.objects.outlines import Mask, ellipse_polygon, merge_masks, read_polygons
from unimask.datasets.splits import split_from_name
from unimask.errors import DataError
from unimask.formats.json_stream import stream_lists
from unimask.formats.json_values import (
    Id,
    JsonValueError,
    Number,
    convert_record,
    parse_float,
    parse_integer,
    parse_text,
)
from unimask.formats.run_length import RunLength
from unimask.labels import Colour

FORMAT = "Datumaro"

KINDS_WITHOUT_PIXELS = frozenset(("points", "polyline", "cuboid_2d", "cuboid_3d", "skeleton"))
"""Types of annotations that enclose no pixels."""

KINDS_OF_IMAGES = frozenset(("label", "caption", "tabular", "hash_key", "feature_vector"))
"""Types of annotations that describe whole images."""

MAX_NUMBER = 2**31 - 1
"""Largest number of a label, a group or an order."""


def parse_small_number(value: object) -> int:
    """Return a number that may be absent or a float of integer value; 0 if it is absent."""
    return 0 if isnan(parse_float(value)) else parse_integer(value, MAX_NUMBER, -MAX_NUMBER)


def parse_label_number(value: object) -> int:
    """Return the number of a class; -1 if it is absent."""
    return -1 if isnan(parse_float(value)) else parse_integer(value, MAX_NUMBER)


class DatumaroAnnotation(CocoRecord):
    """Annotation of an item."""

    type: str
    label_id: Number = None
    group: Number = None
    z_order: Number = None
    points: Any = None
    bbox: Any = None
    rle: Any = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "label_id": parse_label_number,
        "group": parse_small_number,
        "z_order": parse_small_number,
    }


class DatumaroImage(msgspec.Struct):
    """Image of an item, with its height and width where they are known."""

    path: str = ""
    size: list[Any] | None = None


class DatumaroItem(msgspec.Struct):
    """Item: an image and its annotations."""

    id: Id
    annotations: list[DatumaroAnnotation]
    image: DatumaroImage | None = None
    media: DatumaroImage | None = None

    @property
    def name(self) -> str:
        """Name of the image; that of the item if no path is stated."""
        paths = [place.path for place in (self.image, self.media) if place is not None]
        return parse_text(next(filter(None, paths), str(self.id)))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, (0, 0) if the file lacks them."""
        sides = (self.image.size if self.image else None) or (0, 0)
        height, width = map(parse_side_length, sides[:2]) if len(sides) >= 2 else (0, 0)
        return (height, width) if height > 0 and width > 0 else (0, 0)


class DatumaroLabel(CocoRecord):
    """Class, which its place in the list numbers."""

    name: Id

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"name": parse_label}


class DatumaroColour(msgspec.Struct):
    """Colour of a class."""

    label_id: int
    r: int
    g: int
    b: int


class DatumaroLabels(msgspec.Struct):
    """List of the classes."""

    labels: list[DatumaroLabel]


class DatumaroColours(msgspec.Struct):
    """List of the classes' colours."""

    colormap: list[DatumaroColour] = []


class DatumaroCategories(msgspec.Struct):
    """Classes and their colours."""

    label: DatumaroLabels
    mask: DatumaroColours | None = None

    def colours(self) -> dict[str, Colour | None]:
        """Return the colour of each class by name, in the order of the file."""
        values = {
            each.label_id: (each.r, each.g, each.b)
            for each in (self.mask.colormap if self.mask else ())
            if all(0 <= value <= 255 for value in (each.r, each.g, each.b))
        }
        return {str(each.name): values.get(n) for n, each in enumerate(self.label.labels)}


def find_datumaro(folder: Path) -> DetectedDataset | None:
    """Detect the JSON files of Datumaro, each of which is a subset."""
    files = find_json_files(folder, is_datumaro)
    if not files:
        return None
    splits = {ALL_IMAGES: files[0]} if len(files) == 1 else name_subsets(files)
    return DetectedDataset(
        FORMAT,
        {split: partial(open_datumaro, folder, file) for split, file in splits.items()},
        (),
        Evidence.CONTENT,
        f"{files[0].name} lists items with annotations",
        has_class_names=True,
    )


def name_subsets(files: Sequence[Path]) -> dict[str, Path]:
    """Map each split to its file; subsets of other names are splits of their name."""
    splits: dict[str, Path] = {}
    for file in files:
        split = split_from_name(file.stem) or file.stem
        splits[split if split not in splits else file.stem] = file
    return splits


def open_datumaro(folder: Path, file: Path, options: DatasetOptions) -> ObjectDataset:
    """Open the images of a subset; the classes are those of the file, in its order.

    Args:
        folder: Folder of the dataset.
        file: File of the subset.
        options: Options with the images' channels.

    Raises:
        DataError: The file is malformed, or an image is missing.
    """
    collector, categories = ObjectCollector(folder, "annotation"), None
    count = 0
    for key, item in stream_lists(file, ("categories", "items")):
        location = f"items[{count}]" if key == "items" else key
        try:
            if key == "categories":
                categories = convert_record(item, DatumaroCategories, key)
            else:
                add_item(collector, file, convert_record(item, DatumaroItem, location))
                count += 1
        except JsonValueError as error:
            raise DataError(f"{file}: {location}: {error}; export it again") from None
    if categories is None:
        raise DataError(f"{file} lists no categories: export it again")
    names = list(categories.label.labels)
    number_classes(collector, file, [str(each.name) for each in names])
    places = [folder, file.parent.parent]
    folders = [
        *(place / "images" / file.stem for place in places),
        *(place / name for place in places for name in IMAGE_FOLDERS),
        *places,
    ]
    images = find_images(collector.names, folders, file)
    colours = categories.colours()
    if UNLABELLED in collector.labels:
        colours.setdefault(UNLABELLED, None)
    return collector.build(FORMAT, images, options, colours)


def number_classes(collector: ObjectCollector, file: Path, names: Sequence[str]) -> None:
    """Replace the numbers of classes by their names.

    Raises:
        DataError: An object has a number that is not listed, or two classes have one name.
    """
    if len(set(names)) < len(names):
        raise DataError(f"{file} lists two classes of one name: rename one")
    labels: dict[str, int] = {}
    for label, number in collector.labels.items():
        if label != UNLABELLED and int(label) >= len(names):
            image = collector.objects.images[collector.objects.labels.index(number)]
            raise DataError(
                f"{file}: an annotation of {collector.names[image]} has label_id {label}, but "
                f"there are {len(names)} classes: export it again"
            )
        labels[label if label == UNLABELLED else names[int(label)]] = number
    collector.labels = labels


def add_item(collector: ObjectCollector, file: Path, item: DatumaroItem) -> None:
    """Add an item; annotations of one group and class are one object, and its box is not needed.

    Raises:
        DataError: An annotation is invalid.
    """
    image = collector.add_image(item.name, item.size, file)
    groups: dict[object, list[tuple[int, DatumaroAnnotation]]] = {}
    for place, annotation in enumerate(item.annotations, start=1):
        if annotation.type in KINDS_WITHOUT_PIXELS:
            collector.without_pixels[annotation.type] += 1
        elif annotation.type not in KINDS_OF_IMAGES:
            key = (annotation.group, annotation.label_id) if annotation.group else (place,)
            groups.setdefault(key, []).append((place, annotation))
    for members in groups.values():
        place = members[0][0]
        number = members[0][1].label_id
        label = UNLABELLED if number == -1 else str(number)
        outlined = [each for each in members if each[1].type != "bbox"]
        masks = [read_annotation(collector, image, *each) for each in outlined or members]
        depth = -max(int(annotation.z_order or 0) for _, annotation in members)
        if not any(masks):
            collector.add_unfinished(image, place, "encloses nothing")
        elif not outlined:
            collector.add_box(image, label, place, merge_parts(collector, image, place, masks))
        else:
            mask = merge_parts(collector, image, place, masks)
            collector.add_object(image, label, place, mask, depth=depth)


def merge_parts(collector: ObjectCollector, image: int, place: int, masks: Sequence[Mask]) -> Mask:
    """Merge the parts of an object.

    Raises:
        DataError: The parts have different sizes, or a polygon extends far beyond the image.
    """
    sizes = [mask.size for mask in masks if isinstance(mask, RunLength)]
    try:
        return merge_masks(masks, sizes[0] if sizes else collector.sizes[image])
    except DataError as error:
        raise DataError(f"{collector.describe_object(image, place)} {error}") from None


def read_annotation(
    collector: ObjectCollector, image: int, place: int, annotation: DatumaroAnnotation
) -> Mask:
    """Return the mask of an annotation; empty if it has no extent.

    Raises:
        DataError: The annotation is invalid, or of an unknown type.
    """
    kind, points = annotation.type, annotation.points
    try:
        if kind == "mask":
            return read_mask(annotation.rle)
        if kind == "polygon":
            return read_polygons([points if isinstance(points, list) else []])
        if kind == "bbox":
            return read_polygons([box_polygon(annotation.bbox)])
        if kind == "ellipse" and isinstance(points, list) and len(points) == 4:
            left, top, right, bottom = map(parse_float, points)
            middle = (left + right) / 2, (top + bottom) / 2
            axes = (right - left) / 2, (bottom - top) / 2
            return read_polygons([ellipse_polygon(*middle, *axes)])
        raise DataError(f"is of the type {kind[:40]!r}, which is not known: make it a polygon")
    except DataError as error:
        raise DataError(f"{collector.describe_object(image, place)} {error}") from None
