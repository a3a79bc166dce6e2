"""Read COCO instances: one JSON file with the outlines of all objects, and a folder of images."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np

from unimask.datasets.image_files import find_images
from unimask.datasets.interface import DatasetOptions
from unimask.datasets.maps.class_table import is_void
from unimask.datasets.objects.annotations import Annotations
from unimask.datasets.objects.coco_reader import CocoReader, describe_annotation
from unimask.datasets.objects.coco_records import numeric_ids
from unimask.datasets.objects.dataset import ObjectDataset, build_object_labels
from unimask.datasets.packed import File
from unimask.datasets.splits import SPLIT_NAMES

FORMAT = "COCO instances"


class CocoInstances(ObjectDataset):
    """Images and objects of a COCO JSON file, with the ids that the file uses.

    Attributes:
        image_ids: Id of each image in the JSON file.
        category_ids: Label id of each category id in the JSON file.
    """

    image_ids: Sequence[Hashable]
    category_ids: Mapping[Hashable, int]


def open_coco_instances(
    annotations: Path, folders: Sequence[Path], options: DatasetOptions
) -> CocoInstances:
    """Open the images and objects of one JSON file, sorted by image name.

    Args:
        annotations: Path of the JSON file.
        folders: Folders that may hold the images, the most likely first.
        options: Options with the images' channels.

    Raises:
        DataError: The JSON file is malformed, or an image is missing.
    """
    reader = CocoReader(annotations)
    reader.read()
    images = sorted(reader.images, key=lambda number: reader.images[number][0])
    files = find_images([reader.images[number][0] for number in images], folders, annotations)
    return build_instances(reader, FORMAT, name_from_file(annotations), images, files, options)


def build_instances(
    reader: CocoReader,
    format: str,
    name: str,
    images: Sequence[int],
    files: Sequence[File],
    options: DatasetOptions,
) -> CocoInstances:
    """Build the dataset from everything that a reader has read.

    Label ids number the categories in the order of their ids.

    Args:
        reader: Reader that has read the whole file.
        format: Name of the label format for the user.
        name: Name of the dataset.
        images: Numbers of the images in their final order.
        files: File of each image.
        options: Options with the images' channels.

    Raises:
        DataError: An object does not lie inside its image.
    """
    order = reader.select_categories()
    reader.objects.renumber(
        invert_order(images, len(reader.image_numbers)),
        invert_order(order, len(reader.category_numbers)),
    )
    names = [reader.images[number][0] for number in images]

    def origin(image: int, name: int) -> str:
        return f"{reader.path}: {describe_annotation(name)} of {names[image]}"

    sizes = np.array([reader.images[number][1:] for number in images], np.int64)
    kinds = [reader.categories[number] for number in order]
    labels = build_object_labels(
        [str(category.name) for category in kinds],
        category_ids=numeric_ids([category.id for category in kinds]),
    )
    annotations: Annotations = reader.objects.finish(sizes, origin)
    dataset = CocoInstances(format, name, labels, files, annotations, origin, options.channels)
    image_ids, category_ids = list(reader.image_numbers), list(reader.category_numbers)
    dataset.image_ids = [image_ids[number] for number in images]
    classes = [number for number in order if not is_void(str(reader.categories[number].name))]
    dataset.category_ids = {category_ids[number]: label for label, number in enumerate(classes)}
    return dataset


def invert_order(order: Sequence[int], count: int) -> np.ndarray:
    """Return the position of each number in `order`, -1 for numbers that do not occur."""
    places = np.full(count, -1, np.int32)
    places[order] = np.arange(len(order))
    return places


def name_from_file(annotations: Path) -> str:
    """Return the dataset's name: the file's stem, or the folder's name if the stem is generic."""
    general = {"_annotations.coco", "annotations", "instances", "coco", "result", "labels"}
    folder = annotations.absolute().parent
    if annotations.stem not in general:
        return annotations.stem
    return folder.parent.name if folder.name.lower() in SPLIT_NAMES else folder.name
