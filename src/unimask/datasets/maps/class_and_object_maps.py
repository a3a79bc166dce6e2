"""Read images with two maps each: one of classes, and one that numbers the objects."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Integer

from unimask.datasets.interface import DatasetInfo, DatasetOptions
from unimask.datasets.maps.classes import IGNORED
from unimask.datasets.maps.dataset import MapDataset, Objects
from unimask.datasets.maps.instance_ids import renumber
from unimask.datasets.maps.label_map import check_size
from unimask.datasets.maps.mask_set import MapFile, first_file
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.maps.semantic import ReadMap
from unimask.datasets.packed import file_path
from unimask.labels import LabelSet

ReadObjectIds = Callable[[Path], Integer[np.ndarray, "h w"]]
"""Function that reads a map of object ids: 0 for no object, negative for ignored pixels."""


def open_class_and_object_maps(
    pairs: Pairs,
    object_maps: Mapping[Path, Path],
    folder: Path,
    labels: LabelSet,
    read: tuple[ReadMap, ReadObjectIds],
    info: DatasetInfo,
    options: DatasetOptions,
) -> MapDataset:
    """Build a dataset of images with a map of classes and a map of objects each.

    Args:
        pairs: Images and their maps of classes.
        object_maps: Map of objects of each map of classes.
        folder: Folder of the dataset.
        labels: Label set of the dataset; objects are of its things.
        read: Functions that read a map of classes and a map of objects.
        info: Description of the dataset.
        options: Options with the images' channels.
    """
    read_map = partial(read_pair, object_maps, np.asarray(labels.is_thing), *read)
    return MapDataset(pairs, folder, labels, read_map, info, options, object_maps)


def read_pair(
    object_maps: Mapping[Path, Path],
    is_thing: Bool[np.ndarray, " k"],
    read_classes: ReadMap,
    read_ids: ReadObjectIds,
    file: MapFile,
) -> Objects:
    """Read the objects of one image from its two maps.

    Raises:
        DataError: A map cannot be read, has a value without a meaning, or they differ in size.
    """
    label_map = read_classes(file)
    object_map = object_maps[file_path(first_file(file))]
    ids = read_ids(object_map)
    check_size(ids, object_map, label_map.shape, first_file(file))
    return combine_maps(label_map, ids, is_thing)


def combine_maps(
    label_map: Int[np.ndarray, "h w"],
    ids: Integer[np.ndarray, "h w"],
    is_thing: Bool[np.ndarray, " k"],
) -> Objects:
    """Return the objects of a map of classes and a map of object ids.

    The class of an object is the most frequent one of its labelled pixels. An object whose class is
    no thing, or of which no pixel is labelled, is none. Pixels outside objects belong to one
    segment per class: stuff, or a crowd if the class is a thing. Pixels are ignored if the map of
    objects ignores them, or if they are outside objects and the map of classes ignores them.

    Args:
        label_map: Label id of each pixel, negative for ignored pixels.
        ids: Object id of each pixel, 0 for no object, negative for ignored pixels.
        is_thing: Whether each class is a thing.
    """
    unknown = ids < 0
    numbers, count = renumber(np.where(unknown, 0, ids))
    num_classes = len(is_thing)
    labelled = np.where(label_map < 0, num_classes, label_map)
    joint = np.bincount(
        (numbers.astype(np.int64) * (num_classes + 1) + labelled).ravel(),
        minlength=(count + 1) * (num_classes + 1),
    ).reshape(count + 1, num_classes + 1)[1:, :-1]
    labels = np.where(joint.any(axis=1), joint.argmax(axis=1), IGNORED)
    is_object = np.append(is_thing, False)[labels]
    number_table = np.zeros(count + 1, np.int32)
    number_table[1:][is_object] = np.arange(1, np.count_nonzero(is_object) + 1)
    numbers = number_table[numbers]
    object_labels = labels[is_object]
    outside = (numbers == 0) & (label_map >= 0) & ~unknown
    present = np.flatnonzero(np.bincount(label_map[outside], minlength=num_classes))
    segment_table = np.zeros(num_classes, np.int32)
    segment_table[present] = len(object_labels) + np.arange(1, len(present) + 1)
    numbers[outside] = segment_table[label_map[outside]]
    crowds = np.concatenate([np.zeros(len(object_labels), bool), is_thing[present]])
    return Objects(numbers, np.concatenate([object_labels, present]).astype(np.int64), crowds)
