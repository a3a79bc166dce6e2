"""Read LabelMe: a JSON file per image, with its shapes."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from unimask.datasets.image_files import index_path_ends, list_files
from unimask.datasets.interface import (
    DatasetOptions,
    DetectedDataset,
    Evidence,
    add_notes,
    warn_left_out,
)
from unimask.datasets.objects.annotations import AnnotationBuilder
from unimask.datasets.objects.collector import group_by_split, notes_on_files
from unimask.datasets.objects.dataset import ObjectDataset, build_object_labels
from unimask.datasets.objects.json_kinds import outline_of
from unimask.datasets.objects.labelme_images import find_labelme_images, read_size
from unimask.datasets.objects.labelme_records import (
    SHAPES_WITHOUT_PIXELS,
    LabelmeFile,
    LabelmeShape,
    read_labelme,
    shape_mask,
)
from unimask.datasets.objects.outlines import Mask, merge_masks
from unimask.datasets.orientation import explain_mismatch
from unimask.datasets.packed import File, file_path
from unimask.errors import DataError
from unimask.formats.json_outline import read_json_outline

FORMAT = "LabelMe"
LABELME_KEYS = frozenset(
    (
        *("version", "flags", "shapes", "lineColor", "fillColor"),
        *("imagePath", "imageData", "imageHeight", "imageWidth"),
    )
)
"""Top-level keys that LabelMe writes."""


def find_labelme(folder: Path) -> DetectedDataset | None:
    """Detect JSON files with shapes in the folder and below it; folders may be splits.

    JSON files of other kinds are skipped with a note.
    """
    jsons = list_files(folder, ".json")
    files = [file for file in jsons if is_labelme(file)]
    if not files:
        return None
    splits = group_by_split(folder, files)
    notes = list(notes_on_files(files, splits))
    if others := sorted(set(jsons) - set(files)):
        kinds = f"{len(others)}, such as {others[0].name}"
        notes.append(f"JSON files of other kinds are ignored: {kinds}")
    return DetectedDataset(
        FORMAT,
        {split: partial(open_labelme, folder, splits, split) for split in splits},
        (),
        Evidence.CONTENT,
        f"{files[0].name} lists shapes",
        tuple(notes),
        has_class_names=True,
    )


def is_labelme(file: Path) -> bool:
    """Return whether a JSON file lists shapes, as those of LabelMe and compatible tools do."""
    outline = outline_of(file)
    if not outline.complete and outline.may_have("shapes") and outline.keys.keys() <= LABELME_KEYS:
        outline = read_json_outline(file)  # the embedded image precedes the shapes
    others = outline.keys.keys() & LABELME_KEYS - {"shapes"}
    has_points = "points" in outline.item_keys("shapes")
    return outline.keys.get("shapes") == "list" and (has_points or bool(others))


def open_labelme(
    folder: Path, splits: Mapping[str, Sequence[Path]], split: str, options: DatasetOptions
) -> ObjectDataset:
    """Open the images of a split.

    The classes are the labels of all splits, sorted by name, so that all splits have the same.

    Args:
        folder: Folder of the dataset.
        splits: Files of each split.
        split: Name of the split to open.
        options: Options with the images' channels.

    Raises:
        DataError: A file is malformed, or an image is missing.
    """
    files = splits[split]
    reader = LabelmeReader(files)
    for other in (file for name, more in splits.items() if name != split for file in more):
        reader.name_classes(read_labelme(other))
    reader.read(index_path_ends([folder]), options.channels)
    if reader.left_out:
        warn_left_out(f"{folder}: {reader.left_out} points and lines have no pixels: left out")
    if reader.unfinished:
        count = f"shapes with too few points: {len(reader.unfinished)}"
        warn_left_out(f"{reader.unfinished[0]}: left out; {count}")

    def origin(image: int, place: int) -> str:
        return f"{files[image]}: shape {place}"

    names = sorted(reader.labels)
    places = [names.index(label) for label in reader.labels]
    reader.objects.renumber(np.arange(len(files)), np.array(places, np.int32))
    annotations = reader.objects.finish(np.array(reader.sizes, np.int64), origin)
    name, labels = folder.absolute().name, build_object_labels(names)
    dataset = ObjectDataset(
        FORMAT, name, labels, reader.images, annotations, origin, options.channels
    )
    if reader.unfinished:
        add_notes(dataset, [f"shapes with too few points are left out: {len(reader.unfinished)}"])
    return dataset


class LabelmeReader:
    """Reader of the JSON files of a split, one at a time.

    Args:
        files: Paths of the JSON files.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.labels: dict[str, int] = {}
        self.objects, self.left_out = AnnotationBuilder(), 0
        self.unfinished: list[str] = []
        self.images: list[File] = []
        self.sizes: list[tuple[int, int]] = []

    def read(self, files_by_end: Mapping[str, Path], channels: int) -> None:
        """Read all files; those with masks are read again once their images are known.

        Args:
            files_by_end: Files of the dataset by the ends of their paths.
            channels: Number of channels of the images.

        Raises:
            DataError: A file is malformed, or an image is missing.
        """
        heads, masked = [], []
        for number, file in enumerate(self.files):
            content = read_labelme(file)
            self.name_classes(content)
            self.count_left_out(file, content)
            if any(shape.kind == "mask" for shape in content.shapes):
                masked.append(number)
            else:
                self.add(number, content, content.size)
            heads.append(content.head())
        self.images = find_labelme_images(self.files, heads, files_by_end)
        self.sizes = [head.size for head in heads]
        for number in {*masked, *(row for row, size in enumerate(self.sizes) if size == (0, 0))}:
            self.sizes[number] = read_size(self.images[number], channels)
        for number in masked:
            self.check_size(number, heads[number].size)
            self.add(number, read_labelme(self.files[number]), self.sizes[number])

    def count_left_out(self, file: Path, content: LabelmeFile) -> None:
        """Count the shapes of a file that enclose no pixels."""
        self.left_out += sum(shape.kind in SHAPES_WITHOUT_PIXELS for shape in content.shapes)
        self.unfinished += [
            f"{file}: shape {place} ({shape.label}) is a {shape.kind} of {len(shape.points)} points"
            for place, shape in enumerate(content.shapes, start=1)
            if shape.is_unfinished
        ]

    def name_classes(self, content: LabelmeFile) -> None:
        """Add the labels of a file to the classes."""
        for shape in shapes_with_pixels(content):
            self.labels.setdefault(str(shape.label), len(self.labels))

    def add(self, number: int, content: LabelmeFile, size: tuple[int, int]) -> None:
        """Add the objects of a file."""
        for place, members in group_shapes(content.shapes).items():
            mask = merge_shapes(self.files[number], place, members, size)
            self.objects.add(number, self.labels[str(members[0].label)], place, mask)

    def check_size(self, number: int, labels_size: tuple[int, int]) -> None:
        """Raise if masks were made for another size than that of their image.

        Raises:
            DataError: The JSON file states another size.
        """
        size, image = self.sizes[number], self.images[number]
        if labels_size not in (size, (0, 0)):
            hint = explain_mismatch(image, size, labels_size)
            raise DataError(
                f"{file_path(image)} has {size[1]} x {size[0]} pixels, but its labels in "
                f"{self.files[number]} are for {labels_size[1]} x {labels_size[0]}"
                f"{hint or ': export labels and images together'}"
            )


def shapes_with_pixels(content: LabelmeFile) -> list[LabelmeShape]:
    """Return the shapes that have pixels."""
    return [shape for shape in content.shapes if shape.has_pixels]


def group_shapes(shapes: Sequence[LabelmeShape]) -> dict[int, list[LabelmeShape]]:
    """Group shapes with the same label and group id, keyed by the number of their first shape."""
    first: dict[object, int] = {}
    groups: dict[int, list[LabelmeShape]] = {}
    for number, shape in enumerate(shapes, start=1):
        if shape.has_pixels:
            key = number if shape.group_id is None else (shape.label, shape.group_id)
            groups.setdefault(first.setdefault(key, number), []).append(shape)
    return groups


def merge_shapes(
    file: Path, place: int, shapes: Sequence[LabelmeShape], size: tuple[int, int]
) -> Mask:
    """Read the shapes of one object.

    Raises:
        DataError: A shape is invalid.
    """
    try:
        return merge_masks([shape_mask(shape, size) for shape in shapes], size)
    except DataError as error:
        raise DataError(f"{file}: shape {place} ({shapes[0].label}) {error}") from None
