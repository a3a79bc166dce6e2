"""Read YOLO segmentation: `data.yaml`, images in `images/`, and a line per object in `labels/`."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from unimask.datasets.image_files import find_images, is_ignored, list_images, walk_folders
from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.objects.yolo_labels import FORMAT, is_label_line, open_yolo
from unimask.datasets.splits import SPLIT_NAMES
from unimask.errors import DataError, SettingsError
from unimask.formats.text_file import MAX_YAML_BYTES, read_text, read_yaml
from unimask.processing.image_listing import IMAGE_SUFFIXES, is_image

SPLIT_KEY = re.compile(rf"^['\"]?({'|'.join(SPLIT_NAMES)})['\"]?[ \t]*:", re.MULTILINE)
CLASS_KEY = re.compile(r"^['\"]?(names|nc)['\"]?[ \t]*:", re.MULTILINE)

USUAL_YAML_STEMS = ("data", "dataset")
"""Usual stems of a dataset's YAML file."""

CLASS_LISTS = ("classes.txt", "obj.names", "classes.names", "predefined_classes.txt")
"""Files that list the class names, one per line, if no YAML file does."""

MAX_PATH_ENDS = 50
"""Maximum number of inner parts of a path that are tried, to limit the file accesses."""

MAX_SHOWN_CHARACTERS = 80
"""Maximum number of characters of a value in a message."""

Names = tuple[str, ...]


def find_yolo(folder: Path) -> DetectedDataset | None:
    """Detect a YAML file that names classes and splits, or label files with a line per object."""
    files = [*folder.glob("*.yaml"), *folder.glob("*.yml")]
    files = sorted(file for file in files if not is_ignored(file.name))
    files.sort(key=lambda file: file.stem.lower() not in USUAL_YAML_STEMS)
    dataset_files = [file for file in files if is_dataset_yaml(file)]
    if not dataset_files:
        return find_label_folders(folder)
    splits, notes = find_yaml_splits(dataset_files[0])
    if len(dataset_files) > 1:
        notes.append(f"{dataset_files[1].name} describes a dataset too and is not read")
    openers = {
        split: partial(open_yaml_split, dataset_files[0], key) for split, key in splits.items()
    }
    reason = f"{dataset_files[0].name} names splits and classes"
    return DetectedDataset(FORMAT, openers, (), Evidence.CONTENT, reason, tuple(notes))


def is_dataset_yaml(file: Path) -> bool:
    """Return whether a YAML file names splits and classes."""
    try:
        text = read_text(file, MAX_YAML_BYTES)
    except DataError:
        return False
    return bool(SPLIT_KEY.search(text) and CLASS_KEY.search(text))


def find_yaml_splits(file: Path) -> tuple[dict[str, str], list[str]]:
    """Return the key of each split in a YAML file, and notes on the splits that are left out.

    An empty or missing split is left out, except the training split: opening it raises an error
    that states the reason.
    """
    try:
        content = read_yaml(file)
    except DataError:  # opening the split raises this error again
        return {"train": "train"}, []
    splits: dict[str, str] = {}
    notes: list[str] = []
    for key in map(str, content):
        split = SPLIT_NAMES.get(key.lower())
        if split is None or split in splits:
            continue
        try:
            is_empty = not any(has_images(place) for place in split_paths(file, content, key))
            reason = "has no images" if content.get(key) else "is empty"
        except DataError:
            is_empty, reason = True, f"is {shorten(content[key])}, which does not exist"
        if is_empty and split != "train":
            notes.append(f"{key} of {file.name} {reason}: left out")
        else:
            splits[split] = key
    return splits or {"train": "train"}, notes


def has_images(place: Path) -> bool:
    """Return whether a folder contains images, or a list names some."""
    if place.is_dir():
        return any(
            is_image(folder / name, IMAGE_SUFFIXES)
            for folder, names in walk_folders(place)
            for name in names
        )
    return place.stat().st_size > 0


def find_label_folders(folder: Path) -> DetectedDataset | None:
    """Detect label files in `labels/` or beside images, without a YAML that names classes."""
    images, labels = find_subfolder(folder, "images"), find_subfolder(folder, "labels")
    label_folder = labels or find_subfolder(folder, "obj_train_data") or folder
    if labels is None and not any((folder / name).is_file() for name in CLASS_LISTS):
        return None
    file = next((file for file in list_label_files(label_folder) if is_label_file(file)), None)
    if file is None:
        return None
    images = images or (folder if labels else label_folder)
    inner = {SPLIT_NAMES[p.name.lower()]: p for p in images.iterdir() if is_split(p)}
    if not inner and not has_images(images):
        return None
    splits = inner or {ALL_IMAGES: images}
    openers = {split: partial(open_label_folders, folder, place) for split, place in splits.items()}
    return DetectedDataset(
        FORMAT, openers, (), Evidence.CONTENT, f"{file.name} has lines of numbers"
    )


def find_subfolder(folder: Path, name: str) -> Path | None:
    """Return an inner folder by its name in any case; None if there is none."""
    exact = folder / name
    if exact.is_dir():
        return exact
    return next((p for p in folder.iterdir() if p.name.lower() == name and p.is_dir()), None)


def is_split(path: Path) -> bool:
    """Return whether a path is a folder named like a split."""
    return path.name.lower() in SPLIT_NAMES and path.is_dir()


def list_label_files(folder: Path) -> Iterator[Path]:
    """Yield the text files in a folder and below it that may be labels."""
    return (
        place / name
        for place, names in walk_folders(folder)
        for name in names
        if name.lower().endswith(".txt")
        and name.lower() not in CLASS_LISTS
        and name not in SPLIT_LISTS
    )


SPLIT_LISTS = frozenset(f"{name}.txt" for name in SPLIT_NAMES)
"""Names of text files that list the images of a split."""


def is_label_file(file: Path) -> bool:
    """Return whether the first line of a file is a class and coordinates."""
    lines = (line for line in read_text(file).splitlines() if line.strip())
    first = next(lines, None)
    return first is not None and is_label_line(first)


def open_yaml_split(file: Path, key: str, options: DatasetOptions) -> Dataset:
    """Open a split that a YAML file describes.

    Raises:
        DataError: The YAML file or a label is malformed.
        SettingsError: The number of names given by the user differs from that of the classes.
    """
    content = read_yaml(file)
    names = select_names(options, read_names(file, content), file)
    images, are_listed = find_split_images(file, content, key)
    return open_yolo(file.absolute().parent.name, images, names, options, are_listed=are_listed)


def open_label_folders(folder: Path, images: Path, options: DatasetOptions) -> Dataset:
    """Open images whose classes are not named in a YAML file.

    Raises:
        DataError: A label is malformed, or no file names the classes.
        SettingsError: The number of names given by the user differs from that of the classes.
    """
    file = find_class_list(folder)
    if file is not None:
        lines = [line.strip() for line in read_text(file).splitlines()]
        names = select_names(options, tuple(filter(None, lines)), file)
    elif options.names is not None:
        names = options.names
    else:
        raise DataError(
            f"{folder} has YOLO labels, but nothing names their classes: add a data.yaml, or a "
            "classes.txt with one name a line, or pass names (--names)"
        )
    return open_yolo(folder.absolute().name, list_images(images), names, options)


def find_class_list(folder: Path) -> Path | None:
    """Return the list of class names that labelling tools write beside YOLO's files, if any."""
    for place in (folder, folder / "labels", folder.parent, folder.parent / "labels"):
        for name in CLASS_LISTS:
            if (place / name).is_file():
                return place / name
    return None


def select_names(options: DatasetOptions, names: Names, file: Path) -> Names:
    """Return the class names given by the user, else those of a file.

    Raises:
        SettingsError: The numbers of names differ.
    """
    if options.names is not None and len(options.names) != len(names):
        raise SettingsError(
            f"--names has {len(options.names)} names, but {file} has {len(names)} classes: pass "
            "as many"
        )
    return options.names or names


def read_names(file: Path, content: dict[Any, Any]) -> Names:
    """Return the class names of a YAML file, from a list or a mapping of numbers.

    Raises:
        DataError: They are neither, a number is missing, or `nc` is another number.
    """
    names, count = content.get("names"), content.get("nc")
    if names is None and isinstance(count, int) and 0 < count <= MAX_YAML_BYTES:
        names = [f"class {number}" for number in range(count)]
    if isinstance(names, dict):
        numbered = {str(number): name for number, name in names.items()}
        if len(numbered) == len(names) and set(numbered) == set(map(str, range(len(names)))):
            names = [numbered[str(number)] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: names should list the classes, or number them from 0 on")
    if isinstance(count, int) and count != len(names):
        raise DataError(f"{file}: nc is {count}, but {len(names)} names are listed: correct one")
    return tuple(str(name) for name in names)


def find_split_images(file: Path, content: dict[Any, Any], key: str) -> tuple[list[Path], bool]:
    """Return the images of a split, and whether text files list them.

    Raises:
        DataError: There are no images.
    """
    images: list[Path] = []
    are_listed = False
    for place in split_paths(file, content, key):
        if place.is_dir():
            images += list_images(place)
        else:
            names = [line.strip() for line in read_text(place).splitlines() if line.strip()]
            images += find_images(names, (place.parent, file.parent), place)
            are_listed = True
    if not images:
        value = shorten(content.get(key))
        raise DataError(f"{file}: {key} is {value}, which contains no images: correct the path")
    return sorted(set(images)), are_listed


def split_paths(file: Path, content: dict[Any, Any], key: str) -> list[Path]:
    """Return the folders and lists that a YAML file names for a split.

    Raises:
        DataError: One of them does not exist.
    """
    value = content.get(key)
    values = value if isinstance(value, list) else [value]
    root = str(content.get("path") or "")
    return [resolve_path(file, root, str(place)) for place in values if place not in (None, "", {})]


def resolve_path(file: Path, root: str, place: str) -> Path:
    """Return the existing path for a path in a YAML file, which may be of another machine.

    The path is relative to `path`, which is relative to the YAML file. If it does not exist there,
    the longest end of the path that exists beside the YAML file is used.

    Raises:
        DataError: No such path exists.
    """
    parts = [part for part in place.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    ends = [file.parent.joinpath(*parts[start:]) for start in range(min(len(parts), MAX_PATH_ENDS))]
    below_root = [file.parent / root / place] if root else []
    for candidate in (*below_root, *ends, file.parent / place):
        if path_exists(candidate):
            return candidate
    raise DataError(
        f"{file} names {shorten(place)}, which does not exist: correct path, train and val in it"
    )


def path_exists(path: Path) -> bool:
    """Return whether a path exists; paths that are too long do not."""
    try:
        return path.is_dir() or path.is_file()
    except (OSError, ValueError):
        return False


def shorten(value: object) -> str:
    """Return the beginning of a value for a message."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."
