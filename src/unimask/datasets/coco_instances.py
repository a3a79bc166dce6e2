"""COCO instances: one JSON with the outlines of all objects, and a folder of pictures."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np

from unimask.datasets.annotations import Annotations
from unimask.datasets.coco_reader import CocoReader, called
from unimask.datasets.coco_records import numeric_ids
from unimask.datasets.found import Wish
from unimask.datasets.maps.class_table import is_void
from unimask.datasets.objects import ObjectPictures, object_labels
from unimask.datasets.packed import File
from unimask.datasets.picture_files import find_pictures
from unimask.datasets.splits import SPLITS

FORMAT = "COCO instances"


class CocoInstances(ObjectPictures):
    """Pictures and objects of a COCO JSON, which numbers both in its own way.

    Attributes:
        image_ids: The JSON's id of each picture.
        category_ids: The JSON's category ids, and the label id of each.
    """

    image_ids: Sequence[Hashable]
    category_ids: Mapping[Hashable, int]


def open_coco_instances(annotations: Path, folders: Sequence[Path], wish: Wish) -> CocoInstances:
    """Open the pictures and objects of one JSON, the pictures in the order of their names.

    Args:
        annotations: The JSON.
        folders: Where pictures may be, the likeliest first.
        wish: The pictures' channels.

    Raises:
        DataError: The JSON is not what it should be, or a picture is missing.
    """
    reader = CocoReader(annotations)
    reader.read()
    pictures = sorted(reader.images, key=lambda number: reader.images[number][0])
    files = find_pictures([reader.images[number][0] for number in pictures], folders, annotations)
    return listed_objects(reader, FORMAT, named(annotations), pictures, files, wish)


def listed_objects(
    reader: CocoReader,
    format: str,
    name: str,
    pictures: Sequence[int],
    files: Sequence[File],
    wish: Wish,
) -> CocoInstances:
    """Give what was read as pictures with objects.

    Label ids count the categories in the order of their ids.

    Args:
        reader: That has taken everything.
        format: What a person calls the labels.
        name: Of the dataset.
        pictures: Their numbers, in order.
        files: Of the pictures.
        wish: Their channels.

    Raises:
        DataError: An object does not lie in its picture.
    """
    kept = reader.kept_categories()
    reader.objects.renumber(
        inverse(pictures, len(reader.image_numbers)), inverse(kept, len(reader.category_numbers))
    )
    names = [reader.images[number][0] for number in pictures]

    def origin(picture: int, name: int) -> str:
        return f"{reader.path}: {called(name)} of {names[picture]}"

    sizes = np.array([reader.images[number][1:] for number in pictures], np.int64)
    kinds = [reader.categories[number] for number in kept]
    labels = object_labels(
        [str(category.name) for category in kinds],
        category_ids=numeric_ids([category.id for category in kinds]),
    )
    done: Annotations = reader.objects.finish(sizes, origin)
    dataset = CocoInstances(format, name, labels, files, done, origin, wish.channels)
    image_ids, category_ids = list(reader.image_numbers), list(reader.category_numbers)
    dataset.image_ids = [image_ids[number] for number in pictures]
    classes = [number for number in kept if not is_void(str(reader.categories[number].name))]
    dataset.category_ids = {category_ids[number]: label for label, number in enumerate(classes)}
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
