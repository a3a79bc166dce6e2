"""Dataset of images with label maps, independent of what the values in the maps mean."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from unimask.config import Window
from unimask.datasets.interface import DatasetInfo, DatasetOptions
from unimask.datasets.maps.label_map import check_size
from unimask.datasets.maps.mask_set import MapFile, MaskSet
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.packed import Stream, file_path, open_file, read_file
from unimask.datasets.sample import Sample
from unimask.datasets.splits import SPLIT_NAMES
from unimask.datasets.videos import Video
from unimask.labels import LabelSet


class Objects(NamedTuple):
    """Objects that a map holds.

    Attributes:
        numbers: Object number of each pixel, from 1; 0 for ignored pixels.
        label_ids: Label id of each object.
        crowds: Whether each object is a crowd, which stands for several objects.
        foreign: Pixels of objects whose class is not in the label set; None if unknown.
        behind: Further layers of object numbers behind `numbers`, for objects that overlap; None
            for none.
        ids: Id of each object in the map, which may be the same in other frames; None if unknown.
    """

    numbers: Int[np.ndarray, "h w"]
    label_ids: Int[np.ndarray, " n"]
    crowds: Bool[np.ndarray, " n"]
    foreign: Bool[np.ndarray, "h w"] | None = None
    behind: Int[np.ndarray, "l h w"] | None = None
    ids: Int[np.ndarray, " n"] | None = None


ReadObjects = Callable[[MapFile], Objects]


class MapDataset:
    """Images, each with a map of objects.

    Args:
        pairs: Images and their maps.
        folder: Folder of the dataset.
        labels: Label set of the dataset.
        read: Function that reads a map.
        info: Description of the dataset.
        options: Options with the images' channels.
        companions: Second file that `read` reads with a map, such as a map of objects.
    """

    def __init__(
        self,
        pairs: Pairs,
        folder: Path,
        labels: LabelSet,
        read: ReadObjects,
        info: DatasetInfo,
        options: DatasetOptions,
        companions: Mapping[Path, Path] | None = None,
    ) -> None:
        self.companions = companions or {}
        self.images, self.maps = pairs.images, pairs.maps
        self.paths = list(map(file_path, pairs.images))
        self.name, self.labels, self.info = dataset_name(folder), labels, info
        self.read, self.channels = read, options.channels
        self.window: Window = None
        self.videos: Sequence[Video] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Read one image and its objects.

        Raises:
            DataError: The map cannot be read, differs in size, or has a value without a meaning.
            ImageError: The image cannot be read.
        """
        path, map_file = self.paths[index], self.maps[index]
        image = read_file(self.images[index], self.channels, self.window)
        objects = self.read(map_file)
        check_size(objects.numbers, map_file, image.shape[:2], self.images[index])
        id_maps = objects.numbers[None]
        if objects.behind is not None:
            id_maps = np.concatenate([objects.behind, id_maps])
        unknown = np.asarray(~id_maps.any(axis=0))
        return Sample(
            image=image,
            id_maps=id_maps,
            label_ids=objects.label_ids,
            crowds=objects.crowds,
            ignored=unknown if unknown.any() else None,
            path=path,
            foreign=objects.foreign,
            track_ids=objects.ids if self.videos else None,
        )

    def label_files(self, index: int) -> Sequence[Path]:
        """Return the files on disk that label one image alone."""
        file = self.maps[index]
        parts = [part for _, part in file.masks] if isinstance(file, MaskSet) else [file]
        paths = [part for part in parts if isinstance(part, Path)]
        return [*paths, *(self.companions[path] for path in paths if path in self.companions)]

    def open_image(self, index: int) -> Stream:
        """Open an image's file, whether it is on disk or in a table cell."""
        return open_file(self.images[index])


def dataset_name(folder: Path) -> str:
    """Return the folder's name as the dataset's, or its parent's name if the folder is a split."""
    return folder.parent.name if folder.name.lower() in SPLIT_NAMES else folder.name
