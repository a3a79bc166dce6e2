"""Pictures beside maps whose values or colours are classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.datasets.found import About, Wish
from unimask.datasets.maps.instance_ids import name_of
from unimask.datasets.maps.label_map import check_size
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.sample import Sample
from unimask.labels import LabelSet
from unimask.processing.pictures import read_picture

FORMAT = "semantic maps"

ReadMap = Callable[[Path], Int[np.ndarray, "h w"]]
"""Gives label ids, negative where nothing is known."""


class SemanticMaps:
    """Pictures with the class of each pixel: no objects, so that only semantic can be learned.

    Args:
        pairs: Pictures and their maps.
        folder: Of the dataset.
        labels: The classes.
        read: Reads a map as label ids.
        about: What they are.
        wish: Channels of the pictures.
    """

    def __init__(
        self,
        pairs: Pairs,
        folder: Path,
        labels: LabelSet,
        read: ReadMap,
        about: About,
        wish: Wish,
    ) -> None:
        self.paths, self.maps = pairs.pictures, pairs.maps
        self.name, self.labels, self.about = name_of(folder), labels, about
        self.read, self.channels = read, wish.channels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Read one picture and its classes: one object per class.

        Raises:
            DataError: The map cannot be read, has another size, or a value that means nothing.
            ImageError: The picture cannot be read.
        """
        path, map_path = self.paths[index], self.maps[index]
        image, label_ids = read_picture(path, channels=self.channels), self.read(map_path)
        check_size(label_ids, map_path, image.shape[:2], path)
        known = label_ids >= 0
        present = np.flatnonzero(np.bincount(label_ids[known], minlength=1))
        number = np.zeros(len(self.labels) + 1, np.int32)  # the last is for what is not known
        number[present] = np.arange(1, len(present) + 1)
        return Sample(
            image=image,
            id_maps=number[label_ids][None],
            label_ids=present,
            crowds=np.zeros(len(present), bool),
            ignored=None if known.all() else ~known,
            path=path,
        )
