"""Read what cellpose writes beside images: `a_seg.npy`, `a_cp_masks.png` and `a_masks.tif`."""

import os
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from unimask.datasets.image_files import walk_folders
from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.maps.cellpose_file import ENDING, is_cellpose_file, read_cellpose_masks
from unimask.datasets.maps.dataset import MapDataset, Objects
from unimask.datasets.maps.folder_words import split_from_names
from unimask.datasets.maps.instance_ids import IS_THING, add_background, renumber
from unimask.datasets.maps.label_map import read_numbers
from unimask.datasets.maps.mask_set import MapFile, first_file
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.packed import file_path
from unimask.errors import SettingsError
from unimask.labels import LabelSet
from unimask.processing.images import IMAGE_SUFFIXES

FORMAT = "cellpose"

NAMES = ("cell", "background")

LABEL_ENDINGS = ("_seg", "_cp_masks", "_masks")
"""Endings of label files without their suffix; of several files of an image, the first is read."""

OTHER_ENDINGS = ("_cp_output", "_flows", "_cp_flows", "_cellprob", "_dP", "_outlines")
"""Endings of other files that cellpose writes beside images."""

MAP_SUFFIXES = frozenset({".png", ".tif", ".tiff"})


@dataclass(slots=True)
class CellposeFiles:
    """Images with the files that cellpose wrote for them.

    Attributes:
        splits: Images and label files of each split.
        counts: Number of label files read by their ending.
        num_unused: Number of further label files of the same images.
        lone: Label files without an image.
    """

    splits: dict[str, Pairs] = field(default_factory=lambda: defaultdict(Pairs))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    num_unused: int = 0
    lone: list[Path] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Return the notes on which files are read."""
        notes = [f"{count} read from *{ending}" for ending, count in self.counts.items()]
        if self.num_unused:
            notes.append(f"{self.num_unused} other label files of the same images are not read")
        if self.lone:
            notes.append(f"{len(self.lone)} label files have no image: left out, {self.lone[0]}")
        return notes


def find_cellpose(folder: Path) -> DetectedDataset | None:
    """Detect `_cp_masks` files, and `_seg.npy` files that hold an object of Python."""
    places = list(walk_folders(folder))
    if not any(has_own_files(place, names) for place, names in places):
        return None
    files = CellposeFiles()
    for place, names in places:
        add_folder(files, folder, place, names)
    if not files.splits:
        return None
    if len(files.splits) > 1 and ALL_IMAGES in files.splits:
        rest = files.splits.pop(ALL_IMAGES)  # outside the folders of splits: training images
        train = files.splits["train"]
        train.images.extend(rest.images)
        train.maps.extend(rest.maps)
        train.unlabelled.extend(rest.unlabelled)
    notes = files.notes()
    openers = {
        split: partial(open_split, folder, pairs, notes)
        for split, pairs in files.splits.items()
        if pairs.images
    }
    reason = f"files of cellpose: {', '.join(files.counts)}"
    return DetectedDataset(FORMAT, openers, (), Evidence.LAYOUT, reason) if openers else None


def has_own_files(place: Path, names: list[str]) -> bool:
    """Return whether a folder has files that only cellpose writes."""
    for name in names:
        stem, suffix = os.path.splitext(name)
        if stem.endswith("_cp_masks") and suffix.lower() in MAP_SUFFIXES:
            return True
        if name.endswith(ENDING) and is_cellpose_file(place / name):
            return True
    return False


def add_folder(files: CellposeFiles, folder: Path, place: Path, names: list[str]) -> None:
    """Add the images of one folder that have label files beside them."""
    images: dict[str, Path] = {}
    labels: dict[str, dict[str, Path]] = defaultdict(dict)
    for name in names:
        stem, suffix = os.path.splitext(name)
        ending = next((each for each in LABEL_ENDINGS if stem.endswith(each)), None)
        suffixes = frozenset({".npy"}) if ending == "_seg" else MAP_SUFFIXES
        if ending is not None and suffix.lower() in suffixes:
            key = stem.removesuffix(ending)
            labels[key].setdefault(ending + suffix, place / name)
        elif suffix.lower() in IMAGE_SUFFIXES - {".npy"} and not stem.endswith(OTHER_ENDINGS):
            images.setdefault(stem, place / name)
    own: dict[str, MapFile] = {}
    for key, candidates in sorted(labels.items()):
        image = key if key in images else f"{key}_img"  # "000_img.png", "000_masks.png"
        ordered = sorted(
            candidates, key=lambda name: LABEL_ENDINGS.index(os.path.splitext(name)[0])
        )
        if image not in images or image in own:
            files.lone.append(candidates[ordered[0]])
            continue
        own[image] = candidates[ordered[0]]
        files.counts[ordered[0]] += 1
        files.num_unused += len(ordered) - 1
    if images:
        split = split_from_names(place.relative_to(folder).parts) or ALL_IMAGES
        files.splits[split].add(images, own)


def open_split(folder: Path, pairs: Pairs, notes: list[str], options: DatasetOptions) -> Dataset:
    """Open one split.

    Raises:
        SettingsError: The number of names is wrong.
    """
    names = options.names or NAMES
    if len(names) != len(IS_THING):
        raise SettingsError(f"{folder} has cells and background: pass two names")
    info = DatasetInfo(FORMAT, notes="; ".join(notes) + pairs.missing_maps_note)
    return MapDataset(pairs, folder, LabelSet(names, IS_THING), read_cells, info, options)


def read_cells(file: MapFile) -> Objects:
    """Read the objects of a label file, and its background as one segment.

    Raises:
        DataError: The file cannot be read.
    """
    path = file_path(first_file(file))
    ids = read_cellpose_masks(path) if path.name.endswith(ENDING) else read_numbers(file)
    numbers, count = renumber(ids)
    return add_background(numbers[None], count)
