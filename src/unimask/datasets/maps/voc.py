"""Read Pascal VOC's layout: `JPEGImages/`, `SegmentationClass/` and `SegmentationObject/`.

The layout is that of the challenge, of exports of CVAT and Datumaro ("Segmentation mask"), which
add `labelmap.txt`, and of LabelMe's converter, which adds `class_names.txt`. Maps are indices with
a palette, or colours. 255, or its colour, marks the borders of objects, which are ignored.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath

import numpy as np
from jaxtyping import Integer

from unimask.datasets.image_files import list_files
from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    UnlabelledError,
)
from unimask.datasets.maps.class_and_object_maps import open_class_and_object_maps
from unimask.datasets.maps.class_table import ClassTable, Row, find_tables
from unimask.datasets.maps.classes import (
    IGNORED,
    Classes,
    classes_from_rows,
    determine_classes,
)
from unimask.datasets.maps.interpretation import interpret_maps
from unimask.datasets.maps.keyed_files import images_by_key, maps_by_key, read_key_list
from unimask.datasets.maps.label_map import pack_colours, read_stored_map, to_whole_numbers
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.maps.sampled_maps import sample_statistics
from unimask.datasets.maps.semantic import open_semantic_maps
from unimask.datasets.splits import SPLIT_NAMES
from unimask.label_sets import known_labels
from unimask.labels import IGNORE_LABEL, LabelSet

FORMAT = "Pascal VOC"

CLASS_FOLDER, OBJECT_FOLDER = "SegmentationClass", "SegmentationObject"

IMAGE_FOLDER, LIST_FOLDER = "JPEGImages", "ImageSets/Segmentation"

LABEL_MAP = "labelmap.txt"

BORDER_COLOUR = 0xE0E0C0
"""Colour of 255 in the palette, packed."""

BACKGROUND_NAMES = frozenset({"background", "_background_", "class 0", "#000000"})
"""Names of the class of value 0, or black, that make it the background."""

OWN_NAME = re.compile(r"(?:20\d\d_)?\d{6}")
"""Pattern of the names of the challenge's images: "000032" in 2007, "2007_000032" from 2008 on."""

OWN_FOLDER = re.compile(r"voc_?20\d\d.*", re.IGNORECASE)
"""Pattern of the names of the challenge's folders."""

MAX_START = 2**16
"""Number of characters of an XML file by which it is recognised."""


@dataclass(frozen=True, slots=True)
class VocFolder:
    """Files of a folder in Pascal VOC's layout.

    Attributes:
        folder: Folder that holds `SegmentationClass/`.
        splits: Images and maps of classes of each split.
        object_maps: Map of objects of each map of classes; empty if there are none.
        notes: Notes on files that are left out.
        is_original: Whether the files are those of the challenge, whose classes are known.
    """

    folder: Path
    splits: Mapping[str, Pairs]
    object_maps: Mapping[Path, Path]
    notes: tuple[str, ...]
    is_original: bool

    def open_split(self, split: str, options: DatasetOptions) -> Dataset:
        """Open one split, with objects if there are maps of objects.

        Raises:
            DataError: A map cannot be read, or a class table does not fit.
        """
        files = [file for each in self.splits.values() for file in each.maps]
        classes = self.read_classes(files, options)
        pairs = self.splits[split]
        notes = classes.notes + pairs.missing_maps_note
        if not self.object_maps:
            info = DatasetInfo(FORMAT, ("semantic",), notes)
            return open_semantic_maps(
                pairs, self.folder, classes.labels, classes.read, info, options
            )
        background = classes.label_of.get(0, IGNORED)
        names = classes.labels.names
        has_background = background != IGNORED and names[background].lower() in BACKGROUND_NAMES
        things = tuple(not has_background or label != background for label in range(len(names)))
        labels = LabelSet(names, things, classes.labels.colours)
        info = DatasetInfo(f"{FORMAT} with objects", notes=notes)
        read = classes.read, read_object_ids
        return open_class_and_object_maps(
            pairs, self.object_maps, self.folder, labels, read, info, options
        )

    def read_classes(self, files: list, options: DatasetOptions) -> Classes:
        """Return the classes: those of a table beside the maps, else the challenge's own."""
        tables = find_class_tables(self.folder)
        statistics = sample_statistics(files)
        interpretation = interpret_maps(
            statistics,
            classes=len(tables[0].rows) if tables else 0,
            has_thing_names=False,
            is_semantic=True,
        )
        if tables or not self.is_original:
            return determine_classes(interpretation, statistics, files, tables, options.names)
        is_coloured = interpretation.kind == "colour"
        labels = known_labels("pascal_voc")
        colours = pack_colours(np.array(labels.colours, np.uint8)).tolist()
        codes = colours if is_coloured else range(len(labels))
        rows = [
            (Row(name, colour), code)
            for name, colour, code in zip(labels.names, colours, codes, strict=True)
        ]
        border = Row("void"), BORDER_COLOUR if is_coloured else IGNORE_LABEL
        classes = classes_from_rows([*rows, border], FORMAT, coloured=is_coloured)
        return replace(classes, labels=labels)


def find_voc(folder: Path) -> DetectedDataset | None:
    """Detect `SegmentationClass/` beside `JPEGImages/`, lists of splits or a table of classes.

    Raises:
        UnlabelledError: The folder has Pascal VOC's annotations, but no maps.
    """
    maps = maps_by_key(folder / CLASS_FOLDER)
    if not maps:
        check_boxes(folder)
        return None
    has_table = bool(find_class_tables(folder))
    objects = maps_by_key(folder / OBJECT_FOLDER)
    is_original = not has_table and is_challenge(folder, maps)
    is_voc = any((folder / name).is_dir() for name in (IMAGE_FOLDER, LIST_FOLDER))
    if not (is_voc or (folder / LABEL_MAP).is_file()) or not (has_table or objects or is_original):
        return None
    images = find_images(folder)
    object_maps = {maps[key]: path for key, path in objects.items() if key in maps}
    notes = []
    if object_maps and (lone := maps.keys() - objects.keys()):
        first = maps[min(lone)]
        notes.append(f"{len(lone)} maps of classes have no map of objects: left out, {first}")
        maps = {key: path for key, path in maps.items() if key in objects}
    splits, list_notes = divide_by_lists(folder, images, maps)
    voc = VocFolder(folder, splits, object_maps, (*notes, *list_notes), is_original)
    openers = {split: partial(voc.open_split, split) for split in splits}
    if not openers:
        return None
    reason = f"{CLASS_FOLDER}/ in Pascal VOC's layout"
    return DetectedDataset(
        FORMAT, openers, (), Evidence.LAYOUT, reason, voc.notes, has_class_names=is_original
    )


def find_class_tables(folder: Path) -> list[ClassTable]:
    """Return the tables of classes in the folder; CVAT's and Datumaro's alone if it is there."""
    tables = find_tables([folder])
    return [each for each in tables if each.path.name == LABEL_MAP] or tables


def is_challenge(folder: Path, maps: Mapping[str, Path]) -> bool:
    """Return whether the names of folder, lists or images are those of the challenge."""
    if OWN_FOLDER.fullmatch(folder.name) or all(OWN_NAME.fullmatch(key) for key in maps):
        return True
    lists = folder / "ImageSets" / "Main"
    return any((lists / f"aeroplane_{name}.txt").is_file() for name in ("train", "val", "trainval"))


def find_images(folder: Path) -> dict[str, Path]:
    """Return the images by key: those in `JPEGImages/`, else those in the other folders."""
    if images := images_by_key(folder / IMAGE_FOLDER):
        return images
    skipped = {CLASS_FOLDER, OBJECT_FOLDER, "ImageSets", "Annotations"}
    found: dict[str, Path] = {}
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if not inner.name.startswith((*skipped, ".")):
            found |= images_by_key(inner)
    return found


def divide_by_lists(
    folder: Path, images: Mapping[str, Path], maps: Mapping[str, Path]
) -> tuple[dict[str, Pairs], list[str]]:
    """Pair images with maps by the lists in `ImageSets/Segmentation/`; without lists, as one split.

    If lists are named like splits, all others ("trainval") are skipped. A single list, whatever its
    name, leaves out what it does not name. Splits without maps are left out.

    Raises:
        DataError: A list cannot be read.
    """
    lists = {path.stem: path for path in sorted((folder / LIST_FOLDER).glob("*.txt"))}
    named = {
        SPLIT_NAMES[name.lower()]: p for name, p in lists.items() if name.lower() in SPLIT_NAMES
    }
    if not named and len(lists) == 1:
        lists = {ALL_IMAGES: next(iter(lists.values()))}
    lists = named or lists
    splits: dict[str, Pairs] = {}
    listed: set[str] = set()
    counts = Counter(PurePath(key).name for key in images)
    by_name = {PurePath(key).name: key for key in images if counts[PurePath(key).name] == 1}
    for split, path in lists.items():
        keys = {own_key(key, maps, by_name) for key in read_key_list(path)}
        listed |= keys
        pairs = Pairs()
        pairs.add({key: image for key, image in images.items() if key in keys}, maps)
        if pairs.images:
            splits[split] = pairs
    if not listed & maps.keys():
        pairs = Pairs()
        pairs.add(images, maps)
        return ({ALL_IMAGES: pairs} if pairs.images else {}), []
    rest = sorted((maps.keys() & images.keys()) - listed)
    note = (
        f"{len(rest)} labelled images are in no list: left out, {images[rest[0]]}" if rest else ""
    )
    return splits, [note] if note else []


def own_key(key: str, maps: Mapping[str, Path], by_name: Mapping[str, str]) -> str:
    """Return the key of a listed name, whose only image may be in an inner folder."""
    return key if key in maps else by_name.get(PurePath(key).name, key)


def read_object_ids(path: Path) -> Integer[np.ndarray, "h w"]:
    """Read a map of objects: indices or colours; 255 or the border's colour is -1, black is 0.

    Raises:
        DataError: The map cannot be read.
    """
    pixels, palette, _ = read_stored_map(path)
    if pixels.ndim == 3:
        colours, index = np.unique(pack_colours(pixels), return_inverse=True)
        numbers = np.arange(1, len(colours) + 1, dtype=np.int32)
        numbers[colours == 0], numbers[colours == BORDER_COLOUR] = 0, IGNORED
        return numbers[index].reshape(pixels.shape[:2])
    numbers = to_whole_numbers(pixels, path)
    ignored = 65535 if numbers.dtype.itemsize > 1 and palette is None else IGNORE_LABEL
    return np.where(numbers == ignored, IGNORED, numbers.astype(np.int32))


def check_boxes(folder: Path) -> None:
    """Raise if the folder has annotations of Pascal VOC, which hold boxes.

    Raises:
        UnlabelledError: It has.
    """
    place = folder / "Annotations"
    files = list_files(place, ".xml") if place.is_dir() else sorted(folder.glob("*.xml"))
    if files and (text := read_start(files[0])) and "<annotation" in text and "<bndbox>" in text:
        raise UnlabelledError(
            f"{files[0]} and {len(files) - 1} more hold boxes of Pascal VOC, which are not enough "
            f"for segmentation: add masks in {CLASS_FOLDER}/, or export polygons or masks, as COCO"
        )


def read_start(path: Path) -> str:
    """Return the first characters of a text file; none if it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(MAX_START)
    except OSError:
        return ""
