"""YOLO segmentation: `data.yaml`, pictures in `images/`, and in `labels/` a line per object."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from unimask.datasets.annotations import Collector
from unimask.datasets.found import WHOLE, Found, Opener, Wish
from unimask.datasets.objects import ObjectPictures, object_labels
from unimask.datasets.outlines import CORNERS
from unimask.datasets.picture_files import find_pictures, picture_size, pictures_below
from unimask.datasets.splits import SPLITS
from unimask.errors import DataError

FORMAT = "YOLO segmentation"
KEYS = re.compile(r"^(train|val|test)\s*:", re.MULTILINE)
BOX = 5
"""Fields of a line that is a box: class, x, y, width, height."""

FARTHEST = 100.0
"""Shares of a picture's sides; the collector judges what is nearer."""

Names = tuple[str, ...]


def find_yolo(folder: Path) -> Found | None:
    """Look for a YAML that names classes and splits, or for text files in `labels/`."""
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        text = file.read_text(errors="replace")
        keys = dict.fromkeys(KEYS.findall(text))
        if keys and re.search(r"^names\s*:", text, re.MULTILINE):
            return Found(FORMAT, {key: yaml_opener(file, key) for key in keys})
    images, labels = folder / "images", folder / "labels"
    if not images.is_dir() or next(labels.rglob("*.txt"), None) is None:
        return None
    inner = {SPLITS[p.name.lower()]: p for p in images.iterdir() if p.name.lower() in SPLITS}
    splits = inner or {WHOLE: images}
    return Found(FORMAT, {split: opener(folder, place) for split, place in splits.items()})


def yaml_opener(file: Path, key: str) -> Opener:
    """Say how to open a split that a YAML tells of."""

    def open_it(wish: Wish) -> ObjectPictures:
        content = read_yaml(file)
        names = wish.names or read_names(file, content.get("names"))
        return open_yolo(file.absolute().parent.name, pictures_of(file, content, key), names, wish)

    return open_it


def opener(folder: Path, images: Path) -> Opener:
    """Say how to open pictures whose classes are named in no YAML."""

    def open_it(wish: Wish) -> ObjectPictures:
        names = wish.names or listed_names(folder)
        return open_yolo(folder.absolute().name, pictures_below(images), names, wish)

    return open_it


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a YAML file of keys and values.

    Raises:
        DataError: It is none.
    """
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{file} cannot be read as YAML ({error}): mend it") from None
    if not isinstance(content, dict):
        raise DataError(f"{file} should say path, train, val and names, each after its key")
    return content


def read_names(file: Path, names: Any) -> Names:
    """Give the classes, listed or numbered.

    Raises:
        DataError: They are neither, or a number is left out.
    """
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: names should list the classes, or number them from 0 on")
    return tuple(str(name) for name in names)


def listed_names(folder: Path) -> Names:
    """Read `classes.txt`, which labelling tools write beside YOLO's files.

    Raises:
        DataError: There is none.
    """
    for place in (folder, folder / "labels", folder.parent, folder.parent / "labels"):
        for name in ("classes.txt", "obj.names"):
            if (place / name).is_file():
                lines = (place / name).read_text(errors="replace").splitlines()
                return tuple(line.strip() for line in lines if line.strip())
    raise DataError(
        f"{folder} has YOLO labels, but nothing names their classes: add a data.yaml, or a "
        "classes.txt with one name a line, or give names (--names)"
    )


def pictures_of(file: Path, content: dict[str, Any], key: str) -> list[Path]:
    """Give the pictures of a split: folders of them, or text files that list them.

    Raises:
        DataError: They are not there.
    """
    value = content.get(key)
    places = value if isinstance(value, list) else [value]
    pictures: list[Path] = []
    for place in places:
        found = located(file, str(content.get("path") or ""), str(place))
        if found.is_dir():
            pictures += pictures_below(found)
        else:
            lines = [line.strip() for line in found.read_text(errors="replace").splitlines()]
            names = [line for line in lines if line]
            pictures += find_pictures(names, (found.parent, file.parent), found)
    if not pictures:
        raise DataError(f"{file}: {key} is {value}, where no pictures are: mend the path")
    return sorted(pictures)


def located(file: Path, root: str, place: str) -> Path:
    """Find a place that a YAML names, which may have been written on another machine.

    It is relative to `path`, which is relative to the YAML; else, as much of its end as there is
    beside the YAML counts.

    Raises:
        DataError: It is nowhere.
    """
    parts = [part for part in place.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    ends = [file.parent.joinpath(*parts[start:]) for start in range(len(parts))]
    rooted = [file.parent / root / place] if root else []
    for candidate in (*rooted, *ends, file.parent / place):
        if candidate.exists():
            return candidate
    raise DataError(f"{file} names {place!r}, which is not there: mend path, train and val in it")


def label_file(picture: Path) -> Path:
    """Give the labels of a picture: in `labels/` for the last `images/` of its path, or beside."""
    parts = list(picture.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts, f"{picture.stem}.txt")


def open_yolo(name: str, pictures: list[Path], names: Names, wish: Wish) -> ObjectPictures:
    """Read the labels of all pictures; one without a file has no objects.

    Args:
        name: Of the dataset.
        pictures: Files.
        names: Classes.
        wish: The pictures' channels.

    Raises:
        DataError: A line is not what it should be, or there are no labels at all.
    """
    objects, sizes, found = Collector(), [], 0
    files = [label_file(picture) for picture in pictures]
    for number, (picture, file) in enumerate(zip(pictures, files, strict=True)):
        height, width = size = picture_size(picture, wish.channels)
        sizes.append(size)
        if not file.is_file():
            continue
        found += 1
        for line, text in enumerate(file.read_text(errors="replace").splitlines(), start=1):
            if text.strip():
                label, points = read_line(f"{file}: line {line}", text, len(names))
                scaled = (points.reshape(-1, 2) * (width, height)).ravel()
                objects.add(number, label, line, [scaled])
    if not found:
        raise DataError(f"{files[0]} is missing, and so are all other labels: add them")

    def origin(picture: int, line: int) -> str:
        return f"{files[picture]}: line {line}"

    done = objects.finish(np.array(sizes, np.int64), origin)
    return ObjectPictures(FORMAT, name, object_labels(names), pictures, done, origin, wish.channels)


def read_line(where: str, text: str, classes: int) -> tuple[int, np.ndarray]:
    """Read one object: its class, and x and y in turns, as shares of width and height.

    Raises:
        DataError: It is none; the message begins with `where`.
    """
    try:
        values = np.array(text.split(), np.float64)
    except ValueError:
        raise DataError(f"{where} holds more than numbers: export it again") from None
    if len(values) == BOX:
        raise DataError(
            f"{where} is a box, but segmentation needs outlines: export as YOLO segmentation"
        )
    if len(values) < 1 + 2 * CORNERS or len(values) % 2 == 0:
        raise DataError(f"{where} is no class followed by x and y of three points or more: mend it")
    if not np.abs(values[1:]).max() < FARTHEST:
        raise DataError(f"{where} has coordinates that are no shares of width and height: mend it")
    if not 0 <= values[0] < classes or values[0] % 1:
        raise DataError(f"{where} is of class {values[0]:g}, but {classes} are named, from 0 on")
    return int(values[0]), values[1:]
