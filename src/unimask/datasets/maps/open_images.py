"""Read Open Images' segmentations (releases 5 to 7): a PNG per object, listed in a CSV per split.

The authors' masks often have another resolution than the images, and are scaled to them.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from unimask.datasets.image_files import image_size, walk_folders
from unimask.datasets.interface import (
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.maps.class_masks import open_class_masks
from unimask.datasets.maps.keyed_files import images_by_key
from unimask.datasets.maps.label_map import read_numbers
from unimask.datasets.maps.mask_set import MapFile, MaskSet
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.packed import File
from unimask.datasets.splits import SPLIT_NAMES
from unimask.errors import DataError

FORMAT = "Open Images"

LIST_ENDING = "-annotations-object-segmentation.csv"
"""Ending of the name of the list of a split's masks."""

DESCRIPTIONS = "*class-descriptions*.csv"
"""Pattern of the files with the names of the classes."""

COLUMNS = ("MaskPath", "ImageID", "LabelName")

MAX_ASPECT_ERROR = 0.02
"""Maximum relative difference of the aspect ratios of a mask and its image."""


@dataclass
class OpenImages:
    """Files of Open Images.

    Attributes:
        folder: Folder of the dataset.
        lists: List of the masks of each split, by the split's name.
    """

    folder: Path
    lists: Mapping[str, Path]

    @cached_property
    def class_names(self) -> dict[str, str]:
        """Display name of each class that any list has, by its label name.

        Raises:
            DataError: A list cannot be read.
        """
        labels = {label for path in self.lists.values() for _, _, label in read_list(path)}
        described = read_descriptions(self.folder)
        return {label: described.get(label, label) for label in sorted(labels)}

    def open_split(self, split: str, options: DatasetOptions) -> Dataset:
        """Open the images of a split that have masks.

        Raises:
            DataError: A list cannot be read.
        """
        path = self.lists[split]
        names = tuple(sorted(set(self.class_names.values())))
        label_ids = {label: names.index(name) for label, name in self.class_names.items()}
        own = path.name.removesuffix(LIST_ENDING)
        images = {
            Path(key).name: p for key, p in images_by_key(self.folder / "images" / own).items()
        }
        places = {
            name: place for place, found in walk_folders(self.folder / "masks") for name in found
        }
        masks: dict[str, list[tuple[int, Path]]] = defaultdict(list)
        num_missing = 0
        for mask, image, label in read_list(path):
            if image in images and mask in places:
                masks[image].append((label_ids[label], places[mask] / mask))
            else:
                num_missing += 1
        pairs = Pairs()
        sets = {
            image: MaskSet(tuple(sorted(files, key=lambda f: f[1])))
            for image, files in masks.items()
        }
        pairs.add(images, sets)
        notes = "classes of the masks; groups and what has no mask are background"
        if num_missing:
            notes += f"; {num_missing} masks are left out, because they or their images are missing"
        info = DatasetInfo(FORMAT, notes=notes + pairs.missing_maps_note)
        image_of = dict(zip(pairs.maps, pairs.images, strict=True))
        read = partial(read_scaled, image_of, options.channels)
        return open_class_masks(pairs, self.folder, names, read, info, options)


def find_open_images(folder: Path) -> DetectedDataset | None:
    """Detect `annotations/SPLIT-annotations-object-segmentation.csv` beside images and masks."""
    lists: dict[str, Path] = {}
    for place in (folder / "annotations", folder):
        for path in sorted(place.glob(f"*{LIST_ENDING}")):
            name = path.name.removesuffix(LIST_ENDING)
            lists.setdefault(SPLIT_NAMES.get(name.lower(), name), path)
    if not lists or not (folder / "images").is_dir() or not (folder / "masks").is_dir():
        return None
    data = OpenImages(folder, lists)
    openers = {split: partial(data.open_split, split) for split in lists}
    reason = f"{next(iter(lists.values())).name} lists masks"
    return DetectedDataset(FORMAT, openers, (), Evidence.LAYOUT, reason, has_class_names=True)


def read_list(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the file name, image and label name of each mask in a list.

    Raises:
        DataError: The list cannot be read, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream)
            header = next(rows, [])
            if not set(COLUMNS) <= set(header):
                raise DataError(f"{path} lacks one of the columns {', '.join(COLUMNS)}")
            places = [header.index(column) for column in COLUMNS]
            for row in rows:
                if len(row) > max(places):
                    mask, image, label = (row[place] for place in places)
                    yield Path(mask).name, image, label
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}): download it again") from error


def read_descriptions(folder: Path) -> dict[str, str]:
    """Return the display name of each label name that a file describes.

    Raises:
        DataError: A file cannot be read.
    """
    described: dict[str, str] = {}
    for place in (folder / "annotations", folder):
        for path in sorted(place.glob(DESCRIPTIONS)):
            try:
                with path.open(encoding="utf-8-sig", newline="") as stream:
                    for row in csv.reader(stream):
                        if len(row) >= 2 and row[1].strip():
                            described.setdefault(row[0], row[1])
            except (OSError, ValueError, csv.Error) as error:
                raise DataError(f"{path} cannot be read ({error}): download it again") from error
    return described


def read_scaled(
    image_of: Mapping[MapFile, File], channels: int, file: File, masks: MaskSet
) -> Bool[np.ndarray, "h w"]:
    """Read a mask at the size of its image.

    Raises:
        DataError: The mask cannot be read, or has another shape than its image.
    """
    mask = read_numbers(file) > 0
    image = image_of[masks]
    height, width = image_size(image, channels) if isinstance(image, Path) else mask.shape
    if mask.shape == (height, width):
        return mask
    ratio = mask.shape[0] * width / (mask.shape[1] * height)
    if abs(ratio - 1) > MAX_ASPECT_ERROR:
        raise DataError(
            f"{file} is {mask.shape[0]} x {mask.shape[1]}, but its image {image} is {height} x "
            f"{width}, of another shape: download both again"
        )
    rows = (np.arange(height) + 0.5) * mask.shape[0] / height
    columns = (np.arange(width) + 0.5) * mask.shape[1] / width
    return mask[rows.astype(np.int64)[:, None], columns.astype(np.int64)]
