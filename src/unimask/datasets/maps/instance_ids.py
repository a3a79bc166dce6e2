"""Pictures beside maps that number the objects of one class."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Integer

from unimask.datasets.found import About, Wish
from unimask.datasets.maps.label_map import check_size, read_numbers
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.sample import Sample
from unimask.datasets.splits import SPLITS
from unimask.errors import DataError
from unimask.labels import LabelSet
from unimask.processing.pictures import read_picture

FORMAT = "instance ids"

KINDS = (True, False)
"""The thing, and the stuff around it."""


class InstanceIds:
    """Pictures whose maps number the objects of one class; 0 is background.

    The objects are a thing, the background a stuff, so that all three tasks are defined. Names
    are taken from `labels.json` beside the folders, {"thing": "nucleus", "stuff": "background"},
    or are "object" and "background".

    Args:
        pairs: Pictures and their maps.
        folder: Of the dataset.
        places: Folders in which `labels.json` may be.
        wish: Names of the thing and the stuff, in place of the file's, and the channels.

    Raises:
        DataError: A picture has no map, or `labels.json` is not what it should be.
    """

    def __init__(self, pairs: Pairs, folder: Path, places: Sequence[Path], wish: Wish) -> None:
        self.channels, self.name, names = wish.channels, name_of(folder), wish.names
        if names is not None and len(names) != len(KINDS):
            raise DataError(f"{folder}: instance ids have a thing and a stuff, so give two names")
        if pairs.unlabelled:
            raise DataError(
                f"{pairs.unlabelled[0]} has no mask in {pairs.maps[0].parent} "
                f"({len(pairs.unlabelled)} lack one): add them or remove the pictures"
            )
        self.labels = LabelSet(names or read_names(places), KINDS)
        self.about = About(FORMAT, told="each value above 0 is an object")
        self.paths, self.maps = pairs.pictures, pairs.maps

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Read one picture and its objects.

        Raises:
            DataError: The mask cannot be read, or its size is not the picture's.
            ImageError: The picture cannot be read.
        """
        path = self.paths[index]
        image, ids = read_picture(path, channels=self.channels), read_numbers(self.maps[index])
        check_size(ids, self.maps[index], image.shape[:2], path)
        numbers, objects = renumber(ids)
        label_ids = np.zeros(objects, np.int64)
        background = numbers == 0
        if background.any():
            numbers[background] = objects + 1
            label_ids = np.append(label_ids, 1)
        return Sample(
            image=image,
            id_maps=numbers[None],
            label_ids=label_ids,
            crowds=np.zeros(len(label_ids), bool),
            ignored=None,
            path=path,
        )


def renumber(ids: Integer[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], int]:
    """Number the objects from 1 in the order of their ids, and count them; 0 stays 0."""
    if not ids.size or ids.max() >= 2**24:
        values, numbers = np.unique(ids, return_inverse=True)
        numbers = numbers.reshape(ids.shape) + (0 if 0 in values else 1)
        return np.asarray(numbers, np.int32), int(np.count_nonzero(values))
    # A table instead of a sort: ids are small in nearly every file.
    present = np.bincount(ids.ravel()) > 0
    present[0] = False
    table = np.where(present, np.cumsum(present), 0).astype(np.int32)
    return table[ids], int(np.count_nonzero(present))


def name_of(folder: Path) -> str:
    """Give a dataset its folder's name, or the outer one's if the folder is a split."""
    return folder.parent.name if folder.name.lower() in SPLITS else folder.name


def read_names(places: Sequence[Path]) -> tuple[str, str]:
    """Read the names of the thing and the stuff from the first `labels.json`.

    Raises:
        DataError: It is not what it should be.
    """
    for path in (place / "labels.json" for place in places):
        if not path.is_file():
            continue
        try:
            names = json.loads(path.read_text())
            return str(names["thing"]), str(names["stuff"])
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f'{path} should read {{"thing": "nucleus", "stuff": "background"}}'
            ) from None
    return "object", "background"
