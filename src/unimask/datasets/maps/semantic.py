"""Read images with maps whose values or colours are classes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.datasets.interface import DatasetInfo, DatasetOptions
from unimask.datasets.maps.dataset import MapDataset, Objects
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.labels import LabelSet

FORMAT = "semantic maps"

ReadMap = Callable[[MapFile], Int[np.ndarray, "h w"]]
"""Function that reads a map as label ids, negative for ignored pixels."""


def open_semantic_maps(
    pairs: Pairs,
    folder: Path,
    labels: LabelSet,
    read: ReadMap,
    info: DatasetInfo,
    options: DatasetOptions,
) -> MapDataset:
    """Build a dataset of images with a class per pixel; without objects, its only task is semantic.

    Args:
        pairs: Images and their maps.
        folder: Folder of the dataset.
        labels: Label set of the dataset.
        read: Function that reads a map as label ids.
        info: Description of the dataset.
        options: Options with the images' channels.
    """
    return MapDataset(pairs, folder, labels, partial(read_classes, read), info, options)


def read_classes(read: ReadMap, file: MapFile) -> Objects:
    """Read a map: one object per class that occurs.

    Raises:
        DataError: The map cannot be read, or has a value without a class.
    """
    label_ids = read(file)
    present = np.flatnonzero(np.bincount(label_ids[label_ids >= 0], minlength=1))
    number = np.zeros(max(present, default=-1) + 2, np.int32)  # last entry: ignored pixels (-1)
    number[present] = np.arange(1, len(present) + 1)
    return Objects(number[label_ids], present, np.zeros(len(present), bool))
