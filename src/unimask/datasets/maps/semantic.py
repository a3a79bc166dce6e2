"""Pictures beside maps whose values or colours are classes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.datasets.found import About, Wish
from unimask.datasets.maps.map_pictures import MapPictures, Objects
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.labels import LabelSet

FORMAT = "semantic maps"

ReadMap = Callable[[MapFile], Int[np.ndarray, "h w"]]
"""Gives label ids, negative where nothing is known."""


def semantic_maps(
    pairs: Pairs, folder: Path, labels: LabelSet, read: ReadMap, about: About, wish: Wish
) -> MapPictures:
    """Give pictures with the class of each pixel: no objects, so that only semantic can be learned.

    Args:
        pairs: Pictures and their maps.
        folder: Of the dataset.
        labels: The classes.
        read: Reads a map as label ids.
        about: What they are.
        wish: Channels of the pictures.
    """
    return MapPictures(pairs, folder, labels, partial(read_classes, read), about, wish)


def read_classes(read: ReadMap, file: MapFile) -> Objects:
    """Read a map: one object per class.

    Raises:
        DataError: It cannot be read, or has a value that means nothing.
    """
    label_ids = read(file)
    present = np.flatnonzero(np.bincount(label_ids[label_ids >= 0], minlength=1))
    number = np.zeros(max(present, default=-1) + 2, np.int32)  # the last is for what is not known
    number[present] = np.arange(1, len(present) + 1)
    return Objects(number[label_ids], present, np.zeros(len(present), bool))
