"""Read COCO's images, categories and annotations item by item."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from math import isnan
from pathlib import Path, PureWindowsPath
from typing import Any

from unimask.datasets.interface import UnlabelledError, warn_left_out
from unimask.datasets.objects.annotations import AnnotationBuilder
from unimask.datasets.objects.coco_records import (
    CocoAnnotation,
    CocoCategory,
    CocoImage,
    add_file_name,
)
from unimask.datasets.objects.outlines import Mask, read_polygons, rectangle_polygon
from unimask.errors import DataError
from unimask.formats.json_stream import stream_lists
from unimask.formats.json_values import JsonValueError, convert_record, parse_float
from unimask.formats.run_length import RunLength

LISTS = ("images", "annotations", "categories")

MAX_PIXELS = 2**31 - 1
"""Largest sum of run lengths that fits 32-bit counts."""


class CocoReader:
    """Reader of the items of a COCO JSON file, in whatever order its lists come.

    Args:
        path: Path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.image_numbers: dict[Hashable, int] = {}
        self.category_numbers: dict[Hashable, int] = {}
        self.images: dict[int, tuple[str, int, int]] = {}
        self.categories: dict[int, CocoCategory] = {}
        self.id_spellings: dict[tuple[str, int], object] = {}
        self.objects = AnnotationBuilder()
        self.boxes: list[str] = []
        self.without_outline: list[str] = []
        self.item_counts: Counter[str] = Counter()
        self.item_readers: dict[str, tuple[type[Any], Callable[[Any, Any], None]]] = {
            "images": (CocoImage, self.add_image),
            "annotations": (CocoAnnotation, self.add_annotation),
            "categories": (CocoCategory, self.add_category),
        }

    def read(self) -> None:
        """Read the whole file.

        Raises:
            DataError: The file is not a valid COCO JSON file.
        """
        for key, item in stream_lists(self.path, LISTS):
            self.read_item(key, item)
        self.check()
        self.drop_repeated_images()

    def read_item(self, key: str, item: Any) -> None:
        """Read an item of one of the lists.

        Raises:
            DataError: The item lacks a field, or a field has the wrong type.
        """
        record, take = self.item_readers[key]
        item = add_file_name(item) if key == "images" else item
        try:
            take(convert_record(item, record, f"{key}[{self.item_counts[key]}]"), item)
        except JsonValueError as error:
            raise DataError(f"{self.path}: {error}; export it again") from None
        self.item_counts[key] += 1

    def check(self) -> None:
        """Check conditions that depend on the whole file.

        Raises:
            DataError: A list is missing, or an item refers to an id that is not listed.
        """
        for what, items in (("images", self.images), ("categories", self.categories)):
            if not items:
                raise DataError(f"{self.path} lists no {what}: it is not a COCO instances JSON")
        self.check_outlines()
        self.check_listed()

    def add_image(self, image: CocoImage, item: Mapping[str, Any]) -> None:
        """Add an image."""
        number = self.image_numbers.setdefault(image.id, len(self.image_numbers))
        self.check_unique_id("images", number, number in self.images, item["id"])
        height, width = int(image.height or 0), int(image.width or 0)
        has_size = height > 0 and width > 0
        self.images[number] = (image.file_name, height * has_size, width * has_size)

    def add_category(self, category: CocoCategory, item: Mapping[str, Any]) -> None:
        """Add a category."""
        number = self.category_numbers.setdefault(category.id, len(self.category_numbers))
        self.check_unique_id("categories", number, number in self.categories, item["id"])
        self.categories[number] = category

    def check_unique_id(self, key: str, number: int, is_listed: bool, spelling: object) -> None:
        """Raise if another item has the same id, even in another spelling ("0" and 0).

        Raises:
            DataError: Another item has the id; the message shows both spellings.
        """
        first = self.id_spellings.setdefault((key, number), spelling)
        if is_listed:
            ids = (
                f"id {first!r}" if repr(first) == repr(spelling) else f"ids {first!r}, {spelling!r}"
            )
            raise DataError(f"{self.path} lists two {key} of {ids}, which is one id: renumber one")

    def add_annotation(self, annotation: CocoAnnotation, item: Mapping[str, Any]) -> None:
        """Add an object.

        If only its bounding box is known, the pixels in the box are ignored, as those of a crowd
        are.
        """
        del item
        place = self.item_counts["annotations"]
        name = annotation.id if isinstance(annotation.id, int) and annotation.id >= 0 else ~place
        try:
            outline = read_mask(annotation.segmentation)
            mask = outline or read_polygons([box_polygon(annotation.bbox)])
        except DataError as error:
            raise DataError(f"{self.path}: {describe_annotation(name)} {error}") from None
        if not outline:
            (self.boxes if mask else self.without_outline).append(describe_annotation(name))
        if mask:
            self.objects.add(
                self.image_numbers.setdefault(annotation.image_id, len(self.image_numbers)),
                self.category_numbers.setdefault(
                    annotation.category_id, len(self.category_numbers)
                ),
                name,
                mask,
                crowd=bool(annotation.iscrowd) or not outline,
                area=parse_float(annotation.area),
            )

    def check_outlines(self) -> None:
        """Warn of objects without an outline.

        Raises:
            UnlabelledError: No object has an outline.
        """
        if (self.boxes or self.without_outline) and len(self.boxes) >= len(self.objects.labels):
            content = "boxes only" if self.boxes else "annotations without outlines only"
            raise UnlabelledError(
                f"{self.path} has {content} (the first is "
                f"{[*self.boxes, *self.without_outline][0]}), "
                "but segmentation needs outlines: label polygons, or export the dataset as "
                "segmentation"
            )
        if self.boxes:
            warn_left_out(
                f"{self.path}: {len(self.boxes)} objects have no outline of three points or more "
                f"(the first is {self.boxes[0]}); what is in their boxes is ignored"
            )
        if self.without_outline:
            warn_left_out(
                f"{self.path}: {len(self.without_outline)} annotations have neither an outline nor "
                f"a box (the first is {self.without_outline[0]}): left out"
            )

    def check_listed(self) -> None:
        """Raise if an object refers to an image or category that is not listed.

        Raises:
            DataError: An object does; the message names the first one.
        """
        for what, numbers, listed_numbers, used_numbers in (
            ("image_id", self.image_numbers, self.images, self.objects.images),
            ("category_id", self.category_numbers, self.categories, self.objects.labels),
        ):
            for value, number in numbers.items():
                if number not in listed_numbers:
                    name = self.objects.names[used_numbers.index(number)]
                    raise DataError(
                        f"{self.path}: {describe_annotation(name)} has {what} {value!r}, which the "
                        "file does not list: add it, or remove the annotation"
                    )

    def drop_repeated_images(self) -> None:
        """Keep one of several entries of an image file, provided that the others have no objects.

        Raises:
            DataError: Several entries have objects; those of one would be background of the other.
        """
        labelled_images, entries = set(self.objects.images), dict[str, list[int]]()
        for number, (name, *_) in self.images.items():
            entries.setdefault(PureWindowsPath(name).as_posix(), []).append(number)
        repeated = {name: numbers for name, numbers in entries.items() if len(numbers) > 1}
        ids = list(self.image_numbers)
        for name, numbers in repeated.items():
            entries_with_objects = [
                number for number in numbers if number in labelled_images
            ] or numbers[:1]
            if len(entries_with_objects) > 1:
                raise DataError(
                    f"{self.path} lists {name!r} as image {ids[entries_with_objects[0]]!r} and as "
                    f"image {ids[entries_with_objects[1]]!r}, both with objects: list it once, "
                    "under one id"
                )
            for number in set(numbers) - set(entries_with_objects):
                del self.images[number]
        if repeated:
            warn_left_out(
                f"{self.path} lists {len(repeated)} images more than once, such as "
                f"{next(iter(repeated))!r}: entries without objects are left out"
            )

    def select_categories(self) -> list[int]:
        """Return the category numbers ordered by id, without the group that Roboflow adds in front.

        The group is not a class: it has no objects and no parent, and is the parent of others.
        """
        ids = {number: category.id for number, category in self.categories.items()}
        by_id = sorted(ids, key=lambda number: (isinstance(ids[number], str), ids[number]))
        used_categories = set(self.objects.labels)
        parents = [category.supercategory for category in self.categories.values()]
        remaining = []
        for number in by_id:
            category = self.categories[number]
            group = category.supercategory == "none" and category.name in parents
            if number in used_categories or not group:
                remaining.append(number)
            else:
                warn_left_out(
                    f"{self.path}: category {category.name!r} only groups others: left out"
                )
        return remaining


def describe_annotation(name: int) -> str:
    """Return how messages name an annotation: by id, or by position if `name` is ~position."""
    return f"annotation {name}" if name >= 0 else f"annotations[{~name}]"


def read_mask(outline: Any) -> Mask:
    """Read a COCO segmentation: polygons, or run lengths, compressed or not.

    None, NaN and the empty string mean that there is no outline: an empty list.

    Raises:
        DataError: The segmentation is neither; the message is the end of a sentence.
    """
    if isinstance(outline, Mapping):
        try:
            mask = RunLength.from_coco(outline)
            if mask.size[0] * mask.size[1] <= MAX_PIXELS:
                return mask
            raise DataError(f"{mask.size[0]} x {mask.size[1]} pixels are too many")
        except DataError as error:
            raise DataError(f"has no mask that can be read: {error}") from None
    if not outline or (isinstance(outline, float) and isnan(outline)):
        return []
    if not isinstance(outline, list):
        raise DataError("has neither polygons nor run lengths: export it again")
    if not isinstance(outline[0], list) or is_point_list(outline):
        return read_polygons([outline])
    return read_polygons(outline)


def is_point_list(polygons: list[Any]) -> bool:
    """Return whether a list holds points, [[x, y], [x, y], [x, y]], instead of polygons."""
    return len(polygons) >= 3 and all(
        isinstance(point, list) and len(point) == 2 and not isinstance(point[0], list)
        for point in polygons
    )


def box_polygon(box: Any) -> list[float]:
    """Return COCO's x, y, width, height as a polygon; empty if the box has no extent."""
    if not isinstance(box, list) or len(box) != 4:
        return []
    try:
        left, top, width, height = map(parse_float, box)
    except JsonValueError:
        return []
    return (
        rectangle_polygon(left, top, left + width, top + height) if width > 0 and height > 0 else []
    )
