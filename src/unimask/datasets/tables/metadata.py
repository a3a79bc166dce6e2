"""Read image folders of Hugging Face: `metadata.jsonl` or `metadata.csv` beside the images."""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from unimask.datasets.image_files import find_images, is_file, is_ignored
from unimask.datasets.interface import (
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    UnlabelledError,
)
from unimask.datasets.maps import channels, instance_ids, semantic
from unimask.datasets.maps.class_table import ClassTable, find_tables
from unimask.datasets.maps.folder_words import role_from_names
from unimask.datasets.maps.image_pairs import open_maps
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.objects.coco_instances import CocoInstances, build_instances
from unimask.datasets.objects.coco_reader import CocoReader
from unimask.datasets.objects.collector import group_by_split
from unimask.datasets.packed import File
from unimask.datasets.tables.class_names import read_dataset_card
from unimask.datasets.tables.columns import (
    BOX_FIELDS,
    CATEGORY_FIELDS,
    OUTLINE_FIELDS,
    first_field,
)
from unimask.datasets.tables.objects import (
    coco_fields,
    iterate_objects,
    name_used_classes,
    rename_classes,
)
from unimask.errors import DataError
from unimask.formats.json_values import JsonValueError, normalize_id, parse_text
from unimask.processing.images import IMAGE_SUFFIXES

FORMAT = "Hugging Face image folder"

MAP_FORMATS = (semantic.FORMAT, instance_ids.FORMAT, channels.FORMAT)
"""Formats of the masks that the files may name."""

METADATA_FILES = ("metadata.jsonl", "metadata.csv")
"""Names of the files that describe images; the first that exists is read."""

NAME_COLUMN = "file_name"
"""Column of the images' names, relative to the file's folder."""

NAME_SUFFIX = "_file_name"
"""End of the names of columns that name further files."""

MAX_SAMPLED_ROWS = 64
"""Number of rows that determine the columns of labels."""

MAX_CSV_FIELD = 1 << 24
"""Maximum number of characters of a field in a CSV."""

Rows = Iterator[tuple[int, Mapping[str, Any]]]
"""Line number and content of each row."""


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """Columns that hold labels for segmentation.

    Attributes:
        objects: Column of lists of objects; empty if there is none.
        map: Column of the names of masks; empty if there is none.
        others: Names of all other columns.
    """

    objects: str = ""
    map: str = ""
    others: tuple[str, ...] = ()


def find_metadata(folder: Path) -> DetectedDataset | None:
    """Detect metadata files in the folder and its inner folders, which may be splits."""
    with os.scandir(folder) as entries:
        inner = [each.path for each in entries if each.is_dir() and not is_ignored(each.name)]
    places = [folder, *map(Path, sorted(inner))]
    files = [file for place in places if (file := find_file(place)) is not None]
    if not files:
        return None
    columns = find_label_columns(files[0])
    if columns is None:
        return None
    splits = group_by_split(folder, files)
    is_labelled = bool(columns.objects or columns.map)
    opener = open_metadata if is_labelled else refuse_unlabelled
    return DetectedDataset(
        FORMAT,
        {split: partial(opener, folder, splits, split, columns) for split in splits},
        MAP_FORMATS if columns.map else (),
        Evidence.CONTENT if is_labelled else Evidence.EMPTY,
        f"{files[0].name} has {columns.objects or columns.map or 'no labels of pixels'}",
    )


def find_file(place: Path) -> Path | None:
    """Return the metadata file in a folder; None if there is none."""
    return next((place / name for name in METADATA_FILES if is_file(place / name)), None)


def read_rows(file: Path) -> Rows:
    """Yield the rows of a metadata file, one at a time.

    Raises:
        DataError: The file cannot be read, or a row is not an object with a file name.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = read_csv(stream) if file.suffix == ".csv" else read_json_lines(stream)
            for line, row in rows:
                if not isinstance(row, dict) or not isinstance(row.get(NAME_COLUMN), str):
                    raise DataError(
                        f"{file}: line {line} has no {NAME_COLUMN}: each row describes an image"
                    )
                yield line, row
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{file} cannot be read ({error}): save it again") from None


def read_json_lines(stream: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """Yield the value of each line that is not blank."""
    for number, line in enumerate(stream, start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None


def read_csv(stream: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a CSV; cells that hold JSON lists or objects are parsed."""
    csv.field_size_limit(MAX_CSV_FIELD)
    for number, row in enumerate(csv.DictReader(stream), start=2):
        yield (
            number,
            {
                key: json.loads(cell) if isinstance(cell, str) and cell[:1] in ("[", "{") else cell
                for key, cell in row.items()
            },
        )


def find_label_columns(file: Path) -> LabelColumns | None:
    """Return the columns of labels, by the first rows; None if the file describes no images."""
    rows = [row for _, row in islice(read_valid_rows(file), MAX_SAMPLED_ROWS)]
    if not rows:
        return None
    names = dict.fromkeys(str(name) for row in rows for name in row if name != NAME_COLUMN)
    values = {name: [row[name] for row in rows if row.get(name) is not None] for name in names}
    objects = [name for name, cells in values.items() if any(map(has_objects, cells))]
    objects.sort(key=lambda name: not any(map(has_outlines, values[name])))
    maps = [name for name, cells in values.items() if cells and all(map(is_image_name, cells))]
    maps = [name for name in maps if role_from_names((name.removesuffix(NAME_SUFFIX),)) == "map"]
    return LabelColumns(next(iter(objects), ""), next(iter(maps), ""), tuple(names))


def read_valid_rows(file: Path) -> Rows:
    """Yield the rows before the first that is invalid."""
    try:
        yield from read_rows(file)
    except DataError:
        return


def has_objects(cell: Any) -> bool:
    """Return whether a cell lists objects with classes, and with outlines or boxes."""
    item = cell[0] if isinstance(cell, list) and cell else cell
    if not isinstance(item, dict) or first_field(item, CATEGORY_FIELDS) is None:
        return False
    return first_field(item, (*OUTLINE_FIELDS, *BOX_FIELDS)) is not None


def has_outlines(cell: Any) -> bool:
    """Return whether a cell lists objects with outlines."""
    item = cell[0] if isinstance(cell, list) and cell else cell
    return isinstance(item, dict) and first_field(item, OUTLINE_FIELDS) is not None


def is_image_name(cell: object) -> bool:
    """Return whether a cell is text that ends as the names of images do."""
    return isinstance(cell, str) and cell.lower().endswith(tuple(IMAGE_SUFFIXES))


def refuse_unlabelled(
    folder: Path,
    splits: Mapping[str, Sequence[Path]],
    split: str,
    columns: LabelColumns,
    options: DatasetOptions,
) -> Dataset:
    """Raise an error that names the columns.

    Raises:
        UnlabelledError: Always.
    """
    del folder, options
    names = ", ".join(columns.others) or "nothing else"
    raise UnlabelledError(
        f"{splits[split][0]} has {names} for each image, which is no segmentation: add a column of "
        "masks, or of objects with category and segmentation"
    )


def open_metadata(
    folder: Path,
    splits: Mapping[str, Sequence[Path]],
    split: str,
    columns: LabelColumns,
    options: DatasetOptions,
) -> Dataset:
    """Open the images of a split with their objects, or with their masks.

    Args:
        folder: Folder of the dataset.
        splits: Metadata files of each split.
        split: Name of the split to open.
        columns: Columns that hold labels.
        options: Options given by the user.

    Raises:
        DataError: A file is malformed, an image or a mask is missing, or names do not fit.
    """
    if columns.objects and options.format is None:
        return open_objects(folder, splits, split, columns.objects, options)
    if not columns.map:
        raise DataError(f"{folder} lists objects in {columns.objects}: it has no {options.format}")
    pairs = {name: pair_masks(files, columns.map) for name, files in splits.items()}
    files: list[MapFile] = [file for each in pairs.values() for file in each.maps]
    if not pairs[split].maps:
        raise DataError(f"{folder} names no masks in {columns.map} of {split}: add some")
    find = partial(find_class_tables, folder)
    dataset = open_maps(pairs[split], files, folder, [folder], find, options)
    info = dataset.info
    notes = f"masks in the column {columns.map}; {info.notes}"
    dataset.info = DatasetInfo(f"{FORMAT} of {info.format}", info.tasks, notes)
    return dataset


def find_class_tables(folder: Path) -> list[ClassTable]:
    """Return the tables of class names beside the images, or in the dataset's card."""
    return [*find_tables([folder]), *read_dataset_card(folder / "README.md")]


def pair_masks(files: Sequence[Path], column: str) -> Pairs:
    """Pair the images of metadata files with the masks that a column names.

    Raises:
        DataError: An image or a mask is missing.
    """
    pairs = Pairs()
    for file in files:
        rows = [row for _, row in read_rows(file)]
        labelled = [row for row in rows if isinstance(row.get(column), str) and row[column]]
        others = [row for row in rows if not (isinstance(row.get(column), str) and row[column])]
        places = [file.parent]
        pairs.images.extend(find_images([row[NAME_COLUMN] for row in labelled], places, file))
        pairs.maps.extend(find_images([row[column] for row in labelled], places, file))
        pairs.unlabelled.extend(file.parent / row[NAME_COLUMN] for row in others)
    return pairs


def open_objects(
    folder: Path,
    splits: Mapping[str, Sequence[Path]],
    split: str,
    column: str,
    options: DatasetOptions,
) -> CocoInstances:
    """Open the images of a split with the objects that a column lists.

    The classes are named by a class table if there is one; else they are all that occur in any
    split.

    Raises:
        DataError: An object is malformed, an image is missing, or names do not fit.
    """
    used_classes = {
        value
        for files in splits.values()
        for file in files
        for line, row in read_rows(file)
        for value in iterate_classes(file, line, row.get(column))
    }
    names = name_used_classes(used_classes, find_class_tables(folder))
    reader = CocoReader(splits[split][0])
    for value, name in rename_classes(names, options, folder).items():
        reader.read_item("categories", {"id": value, "name": name})
    images: list[File] = []
    for file in splits[split]:
        start = len(reader.images)
        for line, row in read_rows(file):
            add_row(reader, f"{file.parent.name}, line {line}", row, column)
        added = list(reader.images.values())[start:]
        images += find_images([name for name, *_ in added], [file.parent], file)
    reader.check()
    return build_instances(
        reader, FORMAT, folder.absolute().name, sorted(reader.images), images, options
    )


def iterate_classes(file: Path, line: int, cell: Any) -> Iterator[int | str]:
    """Yield the class of each object in a cell.

    Raises:
        DataError: The cell is malformed, or a class is neither a number nor a name.
    """
    try:
        for item in iterate_objects(cell):
            yield normalize_id(coco_fields(item).get("category_id"))
    except (JsonValueError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{file}: line {line} lists no objects ({error}): save it again") from None


def add_row(reader: CocoReader, image: str, row: Mapping[str, Any], column: str) -> None:
    """Add an image with its objects.

    Args:
        reader: Reader of all rows.
        image: Id of the image, for messages.
        row: Content of the row.
        column: Column of the objects.

    Raises:
        DataError: An object is malformed.
    """
    name = parse_text(row[NAME_COLUMN])
    size = {key: row.get(key) for key in ("height", "width")}
    reader.read_item("images", {"id": image, "file_name": name, **size})
    for number, item in enumerate(iterate_objects(row.get(column)), start=1):
        reader.read_item("annotations", {"id": number, **coco_fields(item), "image_id": image})
