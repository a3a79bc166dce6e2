"""Read MOTS: KITTI MOTS and MOTSChallenge as published, and the MOTS PNGs of CVAT and Datumaro.

Instance maps have 16 bits, `1000 * class id + object number`; 0 is background, and class 10 marks
ignored regions. Text files hold a line per object: frame, id, class id, height, width and COCO's
run lengths (https://www.vision.rwth-aachen.de/page/mots).
"""

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from PIL import Image

from unimask.datasets.image_files import data_subfolders, walk_folders
from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    SplitOpener,
)
from unimask.datasets.maps.dataset import dataset_name
from unimask.datasets.maps.keyed_files import images_by_key, pair_by_key
from unimask.datasets.maps.label_map import read_numbers
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.maps.segments import SegmentClass, open_segment_maps
from unimask.datasets.objects.mots_text import find_sequences, is_mots_text, open_sequences
from unimask.datasets.videos import group_frames
from unimask.errors import DataError
from unimask.labels import BACKGROUND, LabelSet
from unimask.processing.images import pil_limit_disabled

FORMAT = "MOTS"

INSTANCES, TEXTS, LABELS = "instances", "instances_txt", "labels.txt"

IMAGE_FOLDERS = ("training/image_02", "image_02", "images", "train/images")
"""Folders that may hold the images, a folder per sequence."""

CLASS_NAMES = ("car", "pedestrian")
"""Names of the classes 1 and 2 of the published data."""

OBJECT_FACTOR, IGNORED_CLASS = 1000, 10

SEQUENCE = re.compile(r"\d{4}")
"""Pattern of the names of KITTI's sequences."""

KITTI_VALIDATION = frozenset("0002 0006 0007 0008 0010 0013 0014 0016 0018".split())  # noqa: SIM905
"""Sequences that the authors validate on; the others up to 0020 are for training."""

MAX_LABELS_BYTES = 2**20


def find_mots(folder: Path) -> DetectedDataset | None:
    """Detect MOTS in any of its layouts.

    Raises:
        DataError: `labels.txt` cannot be read.
    """
    return find_exports(folder) or find_kitti_mots(folder) or find_mots_challenge(folder)


def find_exports(folder: Path) -> DetectedDataset | None:
    """Detect `images/` beside `instances/` with `labels.txt`, as CVAT and Datumaro write them.

    Raises:
        DataError: `labels.txt` cannot be read.
    """
    file = folder / INSTANCES / LABELS
    if not (folder / "images").is_dir() or not file.is_file():
        return None
    names = read_names(file)
    pairs = pair_by_key(images_by_key(folder / "images"), images_by_key(folder / INSTANCES))
    if not names or not pairs.images:
        return None
    opener = partial(open_maps, folder, pairs, names)
    reason = f"{INSTANCES}/{LABELS} beside maps"
    return DetectedDataset(
        FORMAT, {ALL_IMAGES: opener}, (), Evidence.LAYOUT, reason, has_class_names=True
    )


def read_names(file: Path) -> tuple[str, ...]:
    """Read the names of the classes, the first of which is class 1.

    Raises:
        DataError: The file cannot be read, is too large, or repeats a name.
    """
    try:
        with file.open(encoding="utf-8-sig") as stream:
            text = stream.read(MAX_LABELS_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}): save it as UTF-8") from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(set(names)) < len(names) or BACKGROUND in names:
        raise DataError(f"{file} repeats a name, or names {BACKGROUND}: list each class once")
    return names


def find_kitti_mots(folder: Path) -> DetectedDataset | None:
    """Detect `instances/SEQUENCE/` or `instances_txt/SEQUENCE.txt`, beside images of sequences."""
    images_folder = next((folder / n for n in IMAGE_FOLDERS if has_sequences(folder / n)), None)
    if images_folder is None:
        return None
    if has_sequences(folder / INSTANCES) and has_deep_maps(folder / INSTANCES):
        images, maps = images_by_key(images_folder), images_by_key(folder / INSTANCES)
        sequences = {key.split("/")[0] for key in maps}
        openers: dict[str, SplitOpener] = {}
        for split, members in divide_sequences(sequences).items():
            own = {key: path for key, path in images.items() if key.split("/")[0] in members}
            pairs = pair_by_key(own, maps)
            if pairs.images:
                openers[split] = partial(open_maps, folder, pairs, CLASS_NAMES)
        reason = f"{INSTANCES}/ beside {images_folder.name}/"
    else:
        texts = {path.stem: path for path in sorted((folder / TEXTS).glob("*.txt"))}
        found = find_sequences(texts, images_folder)
        openers = {
            split: partial(open_texts, folder, {name: found[name] for name in sorted(members)})
            for split, members in divide_sequences(set(found)).items()
        }
        reason = f"{TEXTS}/ beside {images_folder.name}/"
    detected = DetectedDataset(FORMAT, openers, (), Evidence.LAYOUT, reason, has_class_names=True)
    return detected if openers else None


def has_sequences(folder: Path) -> bool:
    """Return whether a folder holds folders with the names of KITTI's sequences."""
    return folder.is_dir() and any(
        SEQUENCE.fullmatch(path.name) and path.is_dir() for path in folder.iterdir()
    )


def has_deep_maps(folder: Path) -> bool:
    """Return whether the first map below a folder has 16 bits."""
    path = next((p / n for p, names in walk_folders(folder) for n in names[:1]), None)
    if path is None:
        return False
    try:
        with pil_limit_disabled():
            image = Image.open(path)
        with image:
            return image.mode.startswith("I")
    except Exception:  # decoders raise many types of exceptions
        return False


def divide_sequences(names: set[str]) -> dict[str, set[str]]:
    """Divide sequences into the authors' splits; if one of these would be empty, into one."""
    val = names & KITTI_VALIDATION
    if val and names - val:
        return {"train": names - val, "val": val}
    return {ALL_IMAGES: names} if names else {}


def find_mots_challenge(folder: Path) -> DetectedDataset | None:
    """Detect folders of sequences with `img1/` and `gt/gt.txt`, which has run lengths."""
    for place in (folder, folder / "train"):
        if not place.is_dir():
            continue
        sequences = {
            path.name: (path / "img1", path / "gt" / "gt.txt")
            for path in [place / name for name in data_subfolders(place, inner_names(place))]
            if (path / "img1").is_dir() and is_mots_text(path / "gt" / "gt.txt")
        }
        if sequences:
            split = ALL_IMAGES if place == folder else "train"
            opener = partial(open_texts, folder, sequences)
            reason = "img1/ beside gt/gt.txt with run lengths"
            return DetectedDataset(
                FORMAT, {split: opener}, (), Evidence.LAYOUT, reason, has_class_names=True
            )
    return None


def inner_names(folder: Path) -> list[str]:
    """Return the names of the folders in a folder."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_dir()]


def open_texts(
    folder: Path, sequences: Mapping[str, tuple[Path, Path]], options: DatasetOptions
) -> Dataset:
    """Open sequences with text files; see `open_sequences`."""
    names = dict(enumerate(CLASS_NAMES, start=1)) | {IGNORED_CLASS: "ignore"}
    return open_sequences(FORMAT, dataset_name(folder), sequences, names, options)


def open_maps(
    folder: Path, pairs: Pairs, names: tuple[str, ...], options: DatasetOptions
) -> Dataset:
    """Open images with instance maps."""
    labels = LabelSet((*names, BACKGROUND), (*(True,) * len(names), False))
    notes = "0 is background"
    if len(names) < IGNORED_CLASS:
        notes += f", class {IGNORED_CLASS} is ignored"
    info = DatasetInfo(FORMAT, notes=notes + pairs.missing_maps_note)
    classify = partial(classify_segment, len(names))
    dataset = open_segment_maps(pairs, folder, labels, read_numbers, classify, info, options)
    dataset.videos = group_frames(dataset.paths)
    return dataset


def classify_segment(num_things: int, code: int) -> SegmentClass:
    """Return the label id and crowd flag of an instance id.

    Raises:
        KeyError: The value has no class.
    """
    number = code // OBJECT_FACTOR
    if code == 0:
        return num_things, False
    if number == IGNORED_CLASS > num_things:
        return None
    if not 1 <= number <= num_things:
        raise KeyError(code)
    return number - 1, False
