"""COCO instances: one JSON with the outlines of all objects, and a folder of pictures."""

import re
from collections.abc import Hashable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from unimask.datasets.annotations import Annotations, Collector
from unimask.datasets.found import WHOLE, Found, Opener, Wish, tell
from unimask.datasets.objects import ObjectPictures, object_labels
from unimask.datasets.outlines import Mask, read_polygons, rectangle
from unimask.datasets.picture_files import find_pictures
from unimask.datasets.splits import SPLITS, split_named
from unimask.errors import DataError
from unimask.formats.json_stream import stream_lists
from unimask.formats.run_length import RunLength

FORMAT = "COCO instances"
LOOK = 1 << 16
"""Bytes at the beginning of a file that tell what it is."""

FIRST_KEY = re.compile(rb'\s*\{\s*"(images|annotations|categories|info|licenses|licences|type)"')
OTHERS = ("panoptic", "captions", "person_keypoints", "stuff", "image_info")
"""How COCO's own files of other labels begin."""

MOST_PIXELS = 2**31 - 1
"""What counts of 32 bits add up to."""

PLACES = ("images", "JPEGImages", "imgs", "img", "data")
"""What a folder of pictures is called beside its JSON."""


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
        take = {"images": self.image, "annotations": self.annotation, "categories": self.category}
        for key, item in stream_lists(self.path, tuple(take)):
            try:
                take[key](item)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise DataError(
                    f"{self.path}: {str(item)[:60]} among its {key} is not what COCO has there "
                    f"({type(error).__name__} {error}): export it again"
                ) from None
        for what, listed in (("pictures", self.images), ("categories", self.categories)):
            if not listed:
                raise DataError(f"{self.path} lists no {what}: it is no COCO instances JSON")
        if self.boxes:
            self.judge_boxes()

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


class CocoInstances(ObjectPictures):
    """Pictures and objects of a COCO JSON, which numbers both in its own way.

    Attributes:
        image_ids: The JSON's id of each picture.
        category_ids: The JSON's category ids, and the label id of each.
    """

    image_ids: Sequence[Hashable]
    category_ids: Mapping[Hashable, int]


def open_coco_instances(annotations: Path, folders: Sequence[Path], wish: Wish) -> CocoInstances:
    """Open the pictures and objects of one JSON.

    Label ids count the categories in the order of the JSON's category ids; pictures are in the
    order of their names.

    Args:
        annotations: The JSON.
        folders: Where pictures may be, the likeliest first.
        wish: The pictures' channels.

    Raises:
        DataError: The JSON is not what it should be, or a picture is missing.
    """
    reader = CocoReader(annotations)
    reader.read()
    reader.check_listed()
    kept = reader.kept_categories()
    pictures = sorted(reader.images, key=lambda number: reader.images[number][0])
    files = [reader.images[number][0] for number in pictures]
    paths = find_pictures(files, folders, annotations)
    reader.objects.renumber(
        inverse(pictures, len(reader.image_numbers)), inverse(kept, len(reader.category_numbers))
    )

    def origin(picture: int, name: int) -> str:
        return f"{annotations}: annotation {name} of {files[picture]}"

    sizes = np.array([reader.images[number][1:] for number in pictures], np.int64)
    labels = object_labels([reader.categories[number]["name"] for number in kept])
    done: Annotations = reader.objects.finish(sizes, origin)
    dataset = CocoInstances(FORMAT, named(annotations), labels, paths, done, origin, wish.channels)
    image_ids, category_ids = list(reader.image_numbers), list(reader.category_numbers)
    dataset.image_ids = [image_ids[number] for number in pictures]
    dataset.category_ids = {category_ids[number]: label for label, number in enumerate(kept)}
    return dataset


def inverse(order: Sequence[int], count: int) -> np.ndarray:
    """Give each number's place in `order`."""
    places = np.full(count, -1, np.int32)
    places[order] = np.arange(len(order))
    return places


def named(annotations: Path) -> str:
    """Give a name for the dataset: the file's, or its folder's where files are all called alike."""
    general = {"_annotations.coco", "annotations", "instances", "coco", "result", "labels"}
    folder = annotations.absolute().parent
    if annotations.stem not in general:
        return annotations.stem
    return folder.parent.name if folder.name.lower() in SPLITS else folder.name


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


def find_coco_instances(folder: Path) -> Found | None:
    """Look for `annotations/instances_SPLIT.json` as COCO has them, or for any COCO JSON.

    A single JSON is the whole folder; several are splits, by their names.
    """
    official = sorted(folder.glob("annotations/instances_*.json"))
    if official:
        splits: dict[str, Opener] = {}
        for file in official:
            name = file.stem.removeprefix("instances_")
            split = split_named(name) or name
            splits[name if split in splits else split] = opener(folder, file, name)
        return Found(FORMAT, splits)
    files = [
        file
        for place in (folder, folder / "annotations", folder / "labels")
        for file in sorted(place.glob("*.json"))
        if is_coco(file)
    ]
    if len(files) == 1:
        return Found(FORMAT, {WHOLE: opener(folder, files[0], "")})
    named_files = {split_named(file.stem) or file.stem: file for file in files}
    if "train" not in named_files:
        return None
    return Found(FORMAT, {split: opener(folder, f, split) for split, f in named_files.items()})


def is_coco(file: Path) -> bool:
    """Say whether a JSON begins as those of COCO instances do."""
    if file.name.startswith(OTHERS):
        return False
    try:
        with file.open("rb") as stream:
            beginning = stream.read(LOOK)
    except OSError:
        return False
    return bool(FIRST_KEY.match(beginning)) and b'"segments_info"' not in beginning


def opener(folder: Path, annotations: Path, split: str) -> Opener:
    """Say how to open one JSON."""
    beside = annotations.parent
    own = [name for name in (split, split_named(split)) if name]
    folders = [
        *(folder / name for name in own),
        *(folder / "images" / name for name in own),
        beside,
        *(beside / name for name in PLACES),
        *(folder / name for name in PLACES),
        folder,
    ]
    return lambda wish: open_coco_instances(annotations, folders, wish)
