"""Collect the images and objects that the files of labelling tools list."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    UnlabelledError,
    add_notes,
    warn_left_out,
)
from unimask.datasets.objects.annotations import AnnotationBuilder
from unimask.datasets.objects.dataset import ObjectDataset, build_object_labels
from unimask.datasets.objects.outlines import Fill, Mask, Rasterise, rasterise_polygons
from unimask.datasets.packed import File, file_path
from unimask.datasets.splits import SPLIT_NAMES, split_from_name
from unimask.errors import DataError, SettingsError
from unimask.labels import Colour

UNLABELLED = "unlabeled"
"""Class of objects to which no class was assigned: their pixels are ignored."""

ONLY_CLASS = "object"
"""Class of all objects of a format without classes."""

OpenSplit = Callable[[Path, Mapping[str, Sequence[Path]], str, DatasetOptions], Dataset]
"""Function that opens a split."""

MIN_SPLIT_FILES = 2


class ObjectCollector:
    """Collector of images and objects, from which a dataset is built at the end.

    Args:
        source: File or folder of the labels, for messages.
        noun: Name of an object in the tool, such as "region".
    """

    def __init__(self, source: Path, noun: str) -> None:
        self.source, self.noun = source, noun
        self.names: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.files: list[Path] = []
        self.labels: dict[str, int] = {}
        self.objects = AnnotationBuilder()
        self.without_pixels: Counter[str] = Counter()
        self.unfinished: list[str] = []
        self.boxes: list[str] = []
        self.notes: list[str] = []

    def add_image(self, name: str, size: tuple[int, int], file: Path) -> int:
        """Add an image and return its number.

        Args:
            name: Name of the image in the labels.
            size: Height and width as the labels state them; 0 if they do not.
            file: File of its labels.
        """
        self.names.append(name)
        self.sizes.append(size)
        self.files.append(file)
        return len(self.names) - 1

    def add_object(
        self,
        image: int,
        label: str,
        place: int,
        mask: Mask,
        *,
        depth: int = 0,
        fill: Fill = Fill.UNION,
        crowd: bool = False,
    ) -> None:
        """Add an object.

        Args:
            image: Number of its image.
            label: Name of its class.
            place: Number of the object in its image, counted from 1.
            mask: Polygons or run lengths.
            depth: Depth of the object; the greater one is behind.
            fill: Rule by which several polygons are filled.
            crowd: Whether the object stands for several, so that its pixels are ignored.
        """
        number = self.labels.setdefault(label, len(self.labels))
        self.objects.add(image, number, place, mask, depth=depth, fill=fill, crowd=crowd)

    def add_box(self, image: int, label: str, place: int, box: Mask) -> None:
        """Add an object of which only the bounding box is known, so that its pixels are ignored."""
        self.boxes.append(self.describe_object(image, place))
        self.add_object(image, label, place, box, crowd=True)

    def names_by_file(self) -> dict[Path, list[str]]:
        """Return the names of the images in each file of labels, in the order of both."""
        names: dict[Path, list[str]] = {}
        for name, file in zip(self.names, self.files, strict=True):
            names.setdefault(file, []).append(name)
        return names

    def describe_object(self, image: int, place: int) -> str:
        """Return how messages name an object."""
        return f"{self.files[image]}: {self.noun} {place} of {self.names[image]}"

    def add_unfinished(self, image: int, place: int, fault: str) -> None:
        """Count an object that is left out because its drawing was broken off."""
        self.unfinished.append(f"{self.describe_object(image, place)} {fault}")

    def warn(self) -> None:
        """Warn about everything that was left out.

        Raises:
            UnlabelledError: No object has an outline.
        """
        if self.boxes and len(self.boxes) == len(self.objects.images):
            raise UnlabelledError(
                f"{self.source} has boxes only (the first is {self.boxes[0]}), but segmentation "
                "needs outlines: label polygons or masks"
            )
        if self.boxes:
            warn_left_out(
                f"{self.source}: {len(self.boxes)} objects are boxes without an outline (the first "
                f"is {self.boxes[0]}); what is in them is ignored"
            )
        if self.without_pixels:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.without_pixels.items())
            warn_left_out(f"{self.source}: shapes without pixels are left out: {kinds}")
        if self.unfinished:
            text = f"{self.noun}s with too few points are left out: {len(self.unfinished)}"
            warn_left_out(f"{self.unfinished[0]}: left out; {text}")
            self.notes.append(text)

    def build(
        self,
        format: str,
        images: Sequence[File],
        options: DatasetOptions,
        colours: Mapping[str, Colour | None] | None = None,
        rasterise: Rasterise = rasterise_polygons,
    ) -> ObjectDataset:
        """Build the dataset, with the images sorted by name.

        The classes are sorted by name too, or in the order of `colours`.

        Args:
            format: Name of the label format for the user.
            images: File of each image, in the order in which they were added.
            options: Options with the images' channels.
            colours: Classes in their order, with their colours; None to sort the used ones.
            rasterise: Function that rasterises polygons as the tool does.

        Raises:
            DataError: An image is listed twice, or an object does not lie inside its image.
        """
        self.check_duplicates(images)
        self.warn()
        classes = dict.fromkeys(sorted(self.labels)) if colours is None else dict(colours)
        numbers = {name: number for number, name in enumerate(classes)}
        order = sorted(range(len(images)), key=lambda image: self.names[image])
        positions = np.empty(len(order), np.int32)
        positions[order] = np.arange(len(order))
        label_ids = np.array([numbers[name] for name in self.labels], np.int32)
        self.objects.renumber(positions, label_ids)

        def origin(image: int, place: int) -> str:
            return self.describe_object(order[image], place)

        sizes = np.array([self.sizes[image] for image in order], np.int64).reshape(-1, 2)
        annotations = self.objects.finish(sizes, origin, rasterise)
        values = tuple(classes.values()) if any(classes.values()) else ()
        dataset = ObjectDataset(
            format,
            self.source.absolute().name,
            build_object_labels(list(classes), values),
            [images[image] for image in order],
            annotations,
            origin,
            options.channels,
        )
        add_notes(dataset, self.notes)
        return dataset

    def check_duplicates(self, images: Sequence[File]) -> None:
        """Raise if an image has two entries: objects of one would be background of the other.

        Raises:
            DataError: An image has two entries.
        """
        first: dict[Path, int] = {}
        for number, image in enumerate(images):
            other = first.setdefault(file_path(image), number)
            if other != number:
                names = self.names[other], self.names[number]
                both = names[0] if names[0] == names[1] else " and ".join(names)
                raise DataError(
                    f"{self.files[other]} and {self.files[number].name} both label "
                    f"{file_path(image).name} (as {both}): keep one, or join their objects"
                    if self.files[other] != self.files[number]
                    else f"{self.files[number]} lists {file_path(image).name} twice (as {both}): "
                    "keep one entry"
                )


def name_only_class(folder: Path, options: DatasetOptions) -> str:
    """Return the class of all objects of a dataset without classes, which the user may name.

    Raises:
        SettingsError: The user gives several names.
    """
    if options.names is not None and len(options.names) != 1:
        count = len(options.names)
        raise SettingsError(f"--names has {count} names, but {folder} has one class: pass one")
    return options.names[0] if options.names else ONLY_CLASS


def group_by_split(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Group label files by the splits that folders name; all are one split if none is named.

    Files outside of the folders of splits are left out if there are such folders.
    """
    splits: dict[str, list[Path]] = {}
    for file in files:
        parts = [part.lower() for part in file.relative_to(folder).parts[:-1]]
        split = next((SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES), ALL_IMAGES)
        splits.setdefault(split, []).append(file)
    if len(splits) > 1:
        splits.pop(ALL_IMAGES, None)
    return splits


def detect_splits(
    format: str,
    folder: Path,
    files: Sequence[Path],
    open_split: OpenSplit,
    contents: str,
    *,
    group: Callable[[Path, Sequence[Path]], dict[str, list[Path]]] = group_by_split,
    has_class_names: bool = True,
) -> DetectedDataset | None:
    """Describe a dataset of label files that were recognised by their content; None for no files.

    Args:
        format: Name of the format.
        folder: Folder of the dataset.
        files: Label files.
        open_split: Function that opens a split, from the folder, the files of all splits, the name
            of the split, and options.
        contents: What a file of the format contains, as the end of a sentence.
        group: Function that groups the files by splits.
        has_class_names: Whether the files name their classes.
    """
    if not files:
        return None
    splits = group(folder, files)
    return DetectedDataset(
        format,
        {split: partial(open_split, folder, splits, split) for split in splits},
        (),
        Evidence.CONTENT,
        f"{files[0].name} {contents}",
        notes_on_files(files, splits),
        has_class_names,
    )


def notes_on_files(files: Sequence[Path], splits: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    """Return a note on label files that are in no folder of a split; none if all are."""
    used = {file for members in splits.values() for file in members}
    others = [file for file in files if file not in used]
    if not others:
        return ()
    name = f"{others[0].parent.name}/{others[0].name}"
    return (f"files outside of the splits are left out: {len(others)}, such as {name}",)


def group_by_split_or_name(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Group files of many images each by folders of splits, or else by splits in their names."""
    splits = group_by_split(folder, files)
    if list(splits) != [ALL_IMAGES]:
        return splits
    names = [split_from_name(file.stem) for file in files]
    if len(files) < MIN_SPLIT_FILES or None in names or "train" not in names:
        return splits
    by_name: dict[str, list[Path]] = {}
    for name, file in zip(names, files, strict=True):
        by_name.setdefault(str(name), []).append(file)
    return by_name
