"""Pictures beside label maps, whatever the numbers in the maps mean."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from unimask.config import Window
from unimask.datasets.found import About, Wish
from unimask.datasets.maps.label_map import check_size
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.packed import Stream, open_file, path_of, read_file
from unimask.datasets.sample import Sample
from unimask.datasets.splits import SPLITS
from unimask.labels import LabelSet


class Objects(NamedTuple):
    """What a map says.

    Attributes:
        numbers: Of the objects, from 1; 0 where nothing is known.
        label_ids: Of each object.
        crowds: Objects that stand for many.
        foreign: Pixels of objects whose class is none of the labels, where that is told.
    """

    numbers: Int[np.ndarray, "h w"]
    label_ids: Int[np.ndarray, " n"]
    crowds: Bool[np.ndarray, " n"]
    foreign: Bool[np.ndarray, "h w"] | None = None


ReadObjects = Callable[[MapFile], Objects]


class MapPictures:
    """Pictures, each with a map of its objects, which do not overlap.

    Args:
        pairs: Pictures and their maps.
        folder: Of the dataset.
        labels: The classes.
        read: Reads a map.
        about: What they are.
        wish: Channels of the pictures.
    """

    def __init__(
        self,
        pairs: Pairs,
        folder: Path,
        labels: LabelSet,
        read: ReadObjects,
        about: About,
        wish: Wish,
    ) -> None:
        self.pictures, self.maps = pairs.pictures, pairs.maps
        self.paths = list(map(path_of, pairs.pictures))
        self.name, self.labels, self.about = name_of(folder), labels, about
        self.read, self.channels = read, wish.channels
        self.window: Window = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Read one picture and its objects.

        Raises:
            DataError: The map cannot be read, has another size, or a value that means nothing.
            ImageError: The picture cannot be read.
        """
        path, map_file = self.paths[index], self.maps[index]
        image = read_file(self.pictures[index], self.channels, self.window)
        objects = self.read(map_file)
        check_size(objects.numbers, map_file, image.shape[:2], self.pictures[index])
        unknown = objects.numbers == 0
        return Sample(
            image=image,
            id_maps=objects.numbers[None],
            label_ids=objects.label_ids,
            crowds=objects.crowds,
            ignored=unknown if unknown.any() else None,
            path=path,
            foreign=objects.foreign,
        )

    def open_picture(self, index: int) -> Stream:
        """Open a picture's file, wherever it lies."""
        return open_file(self.pictures[index])


def name_of(folder: Path) -> str:
    """Give a dataset its folder's name, or the outer one's if the folder is a split."""
    return folder.parent.name if folder.name.lower() in SPLITS else folder.name
