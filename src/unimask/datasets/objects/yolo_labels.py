"""Read YOLO's label files: a line per object with its class, then x and y relative to the sides."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from unimask.datasets.image_files import image_size
from unimask.datasets.interface import DatasetOptions, UnlabelledError, add_notes
from unimask.datasets.name_forms import (
    casefold_name,
    compose_unicode,
    decode_name,
    group_by_form,
    list_names,
)
from unimask.datasets.objects.annotations import AnnotationBuilder
from unimask.datasets.objects.dataset import ObjectDataset, build_object_labels
from unimask.datasets.objects.outlines import MIN_CORNERS, read_polygons, rectangle_polygon
from unimask.errors import DataError
from unimask.formats.text_file import read_text

FORMAT = "YOLO segmentation"

BOX_FIELDS = 5
"""Number of fields of a line that is a box: class, x, y, width, height."""

VALUE = re.compile(r"(?<![^\s,;])[-+]?\d+(?:[.,]\d*)?(?:[eE][-+]?\d+)?(?![^\s,;])")
"""Number with a decimal point or comma, between blanks, commas or semicolons."""

MAX_COORDINATE = 100.0
"""Upper bound of relative coordinates; `Collector.finish` checks the smaller ones."""


class LabelFiles:
    """Label files of images, in `labels/` instead of the path's last `images/`, or beside them.

    Each folder is listed once. A label file whose name differs from that of its image only in
    Unicode form, percent-encoding or case is used if it is unique.
    """

    def __init__(self) -> None:
        self.listed: dict[Path, dict[str, str]] = {}
        self.forms: dict[tuple[Path, object], dict[str, list[str]]] = {}
        self.used: set[Path] = set()

    def find(self, image: Path) -> Path:
        """Return the path of an image's label file, which may not exist."""
        folders = label_folders(image.parent)
        for folder in folders:
            if (file := self.find_in_folder(folder, image.stem)) is not None:
                self.used.add(file)
                return file
        return folders[0] / f"{image.stem}.txt"

    def find_in_folder(self, folder: Path, stem: str) -> Path | None:
        """Return the label file of a stem in a folder; None if there is none."""
        names = self.list_folder(folder)
        if stem in names:
            return folder / names[stem]
        for form in (compose_unicode, decode_name, casefold_name) if names else ():
            if (folder, form) not in self.forms:
                self.forms[folder, form] = group_by_form(names, form)
            candidates = self.forms[folder, form].get(form(stem), ())
            if len(candidates) == 1:
                return folder / names[candidates[0]]
        return None

    def list_folder(self, folder: Path) -> dict[str, str]:
        """Return the text files of a folder by their stems."""
        if folder not in self.listed:
            files = [name for name in sorted(list_names(folder)) if name.lower().endswith(".txt")]
            self.listed[folder] = {name[:-4]: name for name in files if name[0] != "."}
        return self.listed[folder]

    def unused_files(self) -> list[Path]:
        """Return the label files in `labels/` that belong to none of the images."""
        return [
            folder / name
            for folder, names in self.listed.items()
            if "labels" in [part.lower() for part in folder.parts]
            for stem, name in names.items()
            if folder / name not in self.used and stem.lower() != "classes"
        ]


def label_folders(folder: Path) -> list[Path]:
    """Return the folders that may hold the labels of a folder's images, the most likely first."""
    parts = [part.lower() for part in folder.parts]
    beside_images = [folder / "labels", folder]
    if "images" not in parts:
        return beside_images
    place = len(parts) - 1 - parts[::-1].index("images")
    swapped = [
        Path(*folder.parts[:place], n, *folder.parts[place + 1 :]) for n in ("labels", "Labels")
    ]
    return [swapped[0], *([swapped[1]] if swapped[1].is_dir() else []), *beside_images]


def open_yolo(
    name: str,
    images: Sequence[Path],
    names: tuple[str, ...],
    options: DatasetOptions,
    *,
    are_listed: bool = False,
) -> ObjectDataset:
    """Read the labels of all images; an image without a label file has no objects.

    If other lines are outlines, the pixels inside a line that is a box are ignored.

    Args:
        name: Name of the dataset.
        images: Paths of the images.
        names: Class names.
        options: Options with the images' channels.
        are_listed: Whether a list selects the images, so that unused label files belong to other
            images.

    Raises:
        DataError: A line is malformed, or there are no labels at all.
    """
    objects, sizes, boxes, outlines = AnnotationBuilder(), [], [], 0
    finder = LabelFiles()
    files = [finder.find(image) for image in images]
    for number, (image, file) in enumerate(zip(images, files, strict=True)):
        height, width = size = image_size(image, options.channels)
        sizes.append(size)
        if file not in finder.used:
            continue
        for line, text in enumerate(read_text(file).splitlines(), start=1):
            if not text.strip():
                continue
            location = f"{file}: line {line}"
            label, points = read_line(location, text, len(names))
            is_box = len(points) == BOX_FIELDS - 1
            flat = box_corners(points) if is_box else points
            scaled = (flat.reshape(-1, 2) * (width, height)).ravel()
            boxes += [location] if is_box else []
            outlines += not is_box
            objects.add(number, label, line, read_polygons([scaled.tolist()]), crowd=is_box)
    if not finder.used:
        raise DataError(f"{files[0]} is missing, and so are all other labels: add them")
    if boxes and not outlines:
        raise UnlabelledError(
            f"{boxes[0]} is a box, as all {len(boxes)} objects are, but segmentation needs "
            "outlines: export as YOLO segmentation"
        )

    def origin(image: int, line: int) -> str:
        return f"{files[image]}: line {line}"

    annotations = objects.finish(np.array(sizes, np.int64), origin)
    labels = build_object_labels(names)
    dataset = ObjectDataset(FORMAT, name, labels, images, annotations, origin, options.channels)
    add_notes(dataset, left_out_notes(boxes, [] if are_listed else finder.unused_files()))
    return dataset


def left_out_notes(boxes: Sequence[str], unused: Sequence[Path]) -> list[str]:
    """Return notes on what is left out."""
    notes = []
    if boxes:
        notes.append(f"{len(boxes)} objects are boxes without outline ({boxes[0]}): ignored")
    if unused:
        notes.append(f"{len(unused)} label files have no image ({unused[0]}): left out")
    return notes


def box_corners(box: Float[np.ndarray, "4"]) -> Float[np.ndarray, "8"]:
    """Return the corners of a box given by its centre, width and height."""
    x, y, width, height = box.tolist()
    corners = rectangle_polygon(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return np.array(corners, np.float64)


def is_label_line(text: str) -> bool:
    """Return whether a line may be an object: a class followed by coordinates.

    Numbers that `read_line` refuses count too, such as decimal commas and class -1, so that its
    message names them.
    """
    values = text.split()
    if not all(map(is_number, values)):
        values = VALUE.findall(text)
        if VALUE.sub("", text).strip(" \t,;"):
            return False
    return len(values) >= BOX_FIELDS


def is_number(text: str) -> bool:
    """Return whether a text is a number in the notation of Python."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_line(location: str, text: str, classes: int) -> tuple[int, Float[np.ndarray, " n"]]:
    """Parse one object: its class, and relative coordinates of a polygon (x, y, ...) or a box.

    Raises:
        DataError: The line is malformed; the message begins with `location`.
    """
    try:
        values = np.array(text.split(), np.float64)
    except ValueError:
        invalid = next(value for value in text.split() if not is_number(value))
        raise DataError(
            f"{location} has {invalid[:40]!r} where a number should be: write decimals with a "
            "point, and spaces between numbers"
        ) from None
    if len(values) != BOX_FIELDS and (len(values) < 1 + 2 * MIN_CORNERS or len(values) % 2 == 0):
        raise DataError(
            f"{location} is not a class followed by x and y of three points or more: correct it"
        )
    if not np.abs(values[1:]).max() < MAX_COORDINATE:
        raise DataError(
            f"{location} has coordinates that are not relative to width and height: correct it"
        )
    if not 0 <= values[0] < classes or values[0] % 1:
        raise DataError(f"{location} is of class {values[0]:g}, but {classes} are named, from 0 on")
    return int(values[0]), values[1:]
