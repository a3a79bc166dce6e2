"""Pictures beside maps that number segments, each of which has a class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from unimask.datasets.found import About, Wish
from unimask.datasets.maps.instance_ids import name_of
from unimask.datasets.maps.label_map import check_size
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.sample import Sample
from unimask.errors import DataError
from unimask.labels import LabelSet
from unimask.processing.pictures import read_picture

ReadSegments = Callable[[Path], Integer[np.ndarray, "h w"]]

Meaning = tuple[int, bool] | None
"""Label id of a segment and whether it stands for many objects; None where nothing is known."""

FOREIGN = -1
"""Label id of objects whose class is not among the labels: ignored, and `Sample.foreign`."""


class SegmentMaps:
    """Pictures with segments of things and stuff, in maps whose numbers tell class and object.

    Args:
        pairs: Pictures and their maps.
        folder: Of the dataset.
        labels: The classes.
        read: Reads a map as numbers of segments, from 0 to less than 2^24.
        meaning_of: Says what a number means; raises KeyError for those that mean nothing.
        about: What they are.
        wish: Channels of the pictures.
    """

    def __init__(
        self,
        pairs: Pairs,
        folder: Path,
        labels: LabelSet,
        read: ReadSegments,
        meaning_of: Callable[[int], Meaning],
        about: About,
        wish: Wish,
    ) -> None:
        self.paths, self.maps = pairs.pictures, pairs.maps
        self.name, self.labels, self.about = name_of(folder), labels, about
        self.read, self.meaning_of, self.channels = read, meaning_of, wish.channels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Read one picture and its segments.

        Raises:
            DataError: The map cannot be read, has another size, or a number that means nothing.
            ImageError: The picture cannot be read.
        """
        path, map_path = self.paths[index], self.maps[index]
        image, codes = read_picture(path, channels=self.channels), self.read(map_path)
        check_size(codes, map_path, image.shape[:2], path)
        counts = np.bincount(codes.ravel())
        present = np.flatnonzero(counts).tolist()
        meanings = {code: self.meaning(map_path, code, int(counts[code])) for code in present}
        known = [(code, told) for code, told in meanings.items() if told and told[0] != FOREIGN]
        foreign = [code for code, told in meanings.items() if told and told[0] == FOREIGN]
        number = np.zeros(len(counts), np.int32)
        number[[code for code, _ in known]] = np.arange(1, len(known) + 1)
        numbers = number[codes]
        return Sample(
            image=image,
            id_maps=numbers[None],
            label_ids=np.array([label for _, (label, _) in known], np.int64),
            crowds=np.array([crowd for _, (_, crowd) in known], bool),
            ignored=None if len(known) == len(present) else numbers == 0,
            path=path,
            foreign=np.isin(codes, foreign) if foreign else None,
        )

    def meaning(self, path: Path, code: int, pixels: int) -> Meaning:
        """Say what a number in a map means, or refuse it."""
        try:
            return self.meaning_of(code)
        except KeyError:
            raise DataError(
                f"{path} has value {code} ({pixels} pixels), which means nothing in "
                f"{self.about.format}: export the map again"
            ) from None
