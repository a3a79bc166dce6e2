"""A folder of pictures beside a folder of instance-id masks: `images/` and `masks/`."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Int
from PIL import Image

from unimask.datasets.found import Found, Wish, only
from unimask.datasets.sample import Sample
from unimask.errors import DataError
from unimask.labels import LabelSet
from unimask.processing.pictures import SUFFIXES, read_picture

KINDS = (True, False)
"""The thing, and the stuff around it."""


class InstanceFolder:
    """Pictures whose masks number the objects of one class; 0 is background.

    The objects are a thing, the background a stuff, so that all three tasks are defined. Names
    are taken from `labels.json` beside the folders, {"thing": "nucleus", "stuff": "background"},
    or are "object" and "background".

    Args:
        folder: Holds `images/` and `masks/`, partners by file stem.
        names: Names of the thing and the stuff, in place of the file's.
        channels: Of the pictures, 3 for RGB.

    Raises:
        DataError: A partner is missing, or `labels.json` is not what it should be.
    """

    def __init__(
        self, folder: Path, names: tuple[str, ...] | None = None, channels: int = 3
    ) -> None:
        self.channels = channels
        self.folder = folder
        self.name = folder.parent.name if folder.name in ("train", "val", "test") else folder.name
        if names is not None and len(names) != len(KINDS):
            raise DataError(f"{folder}: instance ids have a thing and a stuff, so give two names")
        self.labels = LabelSet(names or read_names(folder), KINDS)
        self.paths = sorted(
            path for path in (folder / "images").iterdir() if path.suffix.lower() in SUFFIXES
        )
        masks = {path.stem: path for path in (folder / "masks").iterdir()}
        missing = [path for path in self.paths if path.stem not in masks]
        if missing:
            raise DataError(
                f"{missing[0]} has no mask in {folder / 'masks'} ({len(missing)} lack one):"
                " add them or remove the pictures"
            )
        if not self.paths:
            raise DataError(f"{folder / 'images'} holds no pictures ({' '.join(sorted(SUFFIXES))})")
        self.masks = [masks[path.stem] for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Read one picture and its objects.

        Raises:
            DataError: The mask cannot be read, or its size is not the picture's.
            ImageError: The picture cannot be read.
        """
        path, mask_path = self.paths[index], self.masks[index]
        image = read_picture(path, channels=self.channels)
        ids = read_id_mask(mask_path)
        if ids.shape != image.shape[:2]:
            raise DataError(
                f"{mask_path} is {ids.shape[0]} x {ids.shape[1]}, but its picture {path.name} is "
                f"{image.shape[0]} x {image.shape[1]}: export the mask again at the picture's size"
            )
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


def find_instance_folder(folder: Path) -> Found | None:
    """Look for `images/` beside `masks/`."""

    def open_it(wish: Wish) -> InstanceFolder:
        return InstanceFolder(folder, wish.names, wish.channels)

    if not (folder / "images").is_dir() or not (folder / "masks").is_dir():
        return None
    return only("instance ids", open_it)


def renumber(ids: Int[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], int]:
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


def read_names(folder: Path) -> tuple[str, str]:
    """Read the names of the thing and the stuff, beside the folder or one level up."""
    for path in (folder / "labels.json", folder.parent / "labels.json"):
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


def read_id_mask(path: Path) -> Int[np.ndarray, "h w"]:
    """Read an id mask of 1, 8, 16 or 32 bits.

    Raises:
        DataError: It is not a single-channel picture of integers.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            mode = picture.mode
            ids = np.asarray(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a mask ({error}): export it again") from error
    except Image.DecompressionBombError:
        raise DataError(f"{path} is absurdly large for a mask: check the file") from None
    if ids.ndim != 2 or mode == "F":
        raise DataError(
            f"{path} is a {mode} picture; a mask has one channel whose value is the object's id"
        )
    if ids.dtype.kind == "i" and ids.size and ids.min() < 0:
        raise DataError(f"{path} has negative ids: number objects from 1, background 0")
    return ids.astype(np.int64)
