"""What COCO says of objects, taken item by item: pictures, categories, annotations."""

from collections.abc import Hashable, Mapping
from math import nan
from pathlib import Path
from typing import Any

from unimask.datasets.annotations import Collector
from unimask.datasets.found import tell
from unimask.datasets.outlines import Mask, read_polygons, rectangle
from unimask.errors import DataError
from unimask.formats.json_stream import stream_lists
from unimask.formats.run_length import RunLength

LISTS = ("images", "annotations", "categories")

MOST_PIXELS = 2**31 - 1
"""What counts of 32 bits add up to."""


class CocoReader:
    """Takes a COCO JSON apart, item by item, in whatever order its lists come.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.image_numbers: dict[Hashable, int] = {}
        self.category_numbers: dict[Hashable, int] = {}
        self.images: dict[int, tuple[str, int, int]] = {}
        self.categories: dict[int, Mapping[str, Any]] = {}
        self.objects = Collector()
        self.boxes: list[object] = []

    def read(self) -> None:
        """Read the whole file.

        Raises:
            DataError: It is not what it should be.
        """
        for key, item in stream_lists(self.path, LISTS):
            self.take(key, item)
        self.check()

    def take(self, key: str, item: Any) -> None:
        """Take an item of one of the lists.

        Raises:
            DataError: It is not what COCO has there.
        """
        takes = (self.image, self.annotation, self.category)
        try:
            takes[LISTS.index(key)](item)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(
                f"{self.path}: {str(item)[:60]} among its {key} is not what COCO has there "
                f"({type(error).__name__} {error}): export it again"
            ) from None

    def check(self) -> None:
        """Check what only the whole tells.

        Raises:
            DataError: Something is missing, or is named but not listed.
        """
        for what, listed in (("pictures", self.images), ("categories", self.categories)):
            if not listed:
                raise DataError(f"{self.path} lists no {what}: it is no COCO instances JSON")
        if self.boxes:
            self.judge_boxes()
        self.check_listed()

    def image(self, item: Mapping[str, Any]) -> None:
        """Take a picture."""
        number = self.image_numbers.setdefault(item["id"], len(self.image_numbers))
        if number in self.images:
            raise DataError(f"{self.path} lists two pictures of id {item['id']!r}: renumber one")
        size = int(item.get("height") or 0), int(item.get("width") or 0)
        self.images[number] = str(item["file_name"]), *size

    def category(self, item: Mapping[str, Any]) -> None:
        """Take a class."""
        number = self.category_numbers.setdefault(item["id"], len(self.category_numbers))
        if number in self.categories:
            raise DataError(f"{self.path} lists two categories of id {item['id']!r}: renumber one")
        parent = item.get("supercategory")
        self.categories[number] = {"id": item["id"], "name": str(item["name"]), "parent": parent}

    def annotation(self, item: Mapping[str, Any]) -> None:
        """Take an object; where only its box is known, the box is unknown truth, as a crowd is."""
        name, image, category = item.get("id"), item["image_id"], item["category_id"]
        try:
            outline = read_mask(item.get("segmentation"))
            mask = outline or read_polygons([box_polygon(item.get("bbox"))])
        except DataError as error:
            raise DataError(f"{self.path}: annotation {name} {error}") from None
        if mask:
            area = item.get("area")
            self.boxes += [] if outline else [name]
            self.objects.add(
                self.image_numbers.setdefault(image, len(self.image_numbers)),
                self.category_numbers.setdefault(category, len(self.category_numbers)),
                name if isinstance(name, int) else -1,
                mask,
                crowd=bool(item.get("iscrowd")) or not outline,
                area=nan if area is None else float(area),
            )

    def judge_boxes(self) -> None:
        """Tell which objects have no outline.

        Raises:
            DataError: None has.
        """
        first = f"the first is annotation {self.boxes[0]}"
        if len(self.boxes) >= len(self.objects.labels):
            raise DataError(
                f"{self.path} has boxes only ({first}), but segmentation needs outlines: label "
                "polygons, or export the dataset as segmentation"
            )
        tell(
            f"{self.path}: {len(self.boxes)} objects have no outline of three points or more "
            f"({first}); what is in their boxes is ignored"
        )

    def check_listed(self) -> None:
        """Refuse objects of pictures or categories that are not listed.

        Raises:
            DataError: The first such object.
        """
        for what, numbers, listed, given in (
            ("image_id", self.image_numbers, self.images, self.objects.pictures),
            ("category_id", self.category_numbers, self.categories, self.objects.labels),
        ):
            for value, number in numbers.items():
                if number not in listed:
                    name = self.objects.names[given.index(number)]
                    raise DataError(
                        f"{self.path}: annotation {name} has {what} {value!r}, which the file does "
                        "not list: add it, or remove the annotation"
                    )

    def kept_categories(self) -> list[int]:
        """Give the classes by id, without the group that Roboflow puts first.

        It is no class: it has no objects, no parent, and is the parent of others.
        """
        ids = {number: category["id"] for number, category in self.categories.items()}
        by_id = sorted(ids, key=lambda number: (isinstance(ids[number], str), ids[number]))
        used = set(self.objects.labels)
        parents = {category["parent"] for category in self.categories.values()}
        kept = []
        for number in by_id:
            category = self.categories[number]
            if number in used or category["parent"] != "none" or category["name"] not in parents:
                kept.append(number)
            else:
                tell(f"{self.path}: category {category['name']!r} only groups others: left out")
        return kept


def read_mask(outline: Any) -> Mask:
    """Read what COCO calls a segmentation: polygons, or run lengths, compressed or not.

    Nothing is an empty list.

    Raises:
        DataError: It is neither; the message is the end of a sentence.
    """
    if isinstance(outline, Mapping):
        try:
            mask = RunLength.from_coco(outline)
            if mask.size[0] * mask.size[1] <= MOST_PIXELS:
                return mask
            raise DataError(f"{mask.size[0]} x {mask.size[1]} pixels are too many")
        except DataError as error:
            raise DataError(f"has no mask that can be read: {error}") from None
    if not outline:
        return []
    if not isinstance(outline, list):
        raise DataError("has neither polygons nor run lengths: export it again")
    return read_polygons(outline if isinstance(outline[0], list) else [outline])


def box_polygon(box: Any) -> list[float]:
    """Give COCO's x, y, width, height as a polygon; none if it has no extent."""
    if not isinstance(box, list) or len(box) != 4 or not (box[2] > 0 and box[3] > 0):
        return []
    return rectangle(box[0], box[1], box[0] + box[2], box[1] + box[3])
