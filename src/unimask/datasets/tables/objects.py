"""Open tables with a column of images and a column that lists their objects as COCO does."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from unimask.datasets.interface import DatasetOptions
from unimask.datasets.maps.class_table import ClassTable
from unimask.datasets.maps.dataset import name_of
from unimask.datasets.objects.coco_instances import CocoInstances, listed_objects
from unimask.datasets.objects.coco_reader import CocoReader
from unimask.datasets.tables.columns import (
    BOXES,
    CATEGORIES,
    CROWDS,
    NAMES,
    OUTLINES,
    Columns,
    field,
    fields_of,
)
from unimask.datasets.tables.packing import Tables, filled_rows, packed_files
from unimask.errors import DataError

FORMAT = "Hugging Face dataset of objects"

KEYS = {
    "id": NAMES,
    "category_id": CATEGORIES,
    "segmentation": OUTLINES,
    "bbox": BOXES,
    "iscrowd": CROWDS,
}
"""Names of COCO's fields in tables."""


def open_packed_objects(
    tables: Tables,
    split: str,
    place: Path,
    columns: Columns,
    named: Callable[[], list[ClassTable]],
    options: DatasetOptions,
) -> CocoInstances:
    """Open the objects of a split.

    The classes are those of a ClassLabel, else those named beside the tables, else all that occur
    in any split, so that all splits have the same.

    Args:
        tables: Table of each split.
        split: Split to open.
        place: Path or Hub name of the dataset.
        columns: Columns of images and objects.
        named: Function that returns the class tables beside the dataset's tables.
        options: Options with the class names, which override the detected ones, and the images'
            channels.

    Raises:
        DataError: An object is malformed, or names do not fit.
    """
    table = tables[split]
    rows = filled_rows(table, [columns.image])
    files = packed_files(table, columns.image, place / split / columns.image, rows)
    reader = CocoReader(place / split)
    for number, name in class_names(tables, columns, named, options, place).items():
        reader.take("categories", {"id": number, "name": name})
    selected = [columns.objects, *(name for name in ("height", "width") if name in table.features)]
    called_by_row = {row: file.virtual_path.name for row, file in zip(rows, files, strict=True)}
    for row, content in enumerate(table.select_columns(selected)):
        if row not in called_by_row:
            continue
        size = {name: content.get(name) for name in ("height", "width")}
        reader.take("images", {"id": row, "file_name": called_by_row[row], **size})
        for number, item in enumerate(objects_in(content[columns.objects]), start=1):
            values = {key: item[name] for key in KEYS if (name := field(item, KEYS[key]))}
            reader.take("annotations", {"id": number, **values, "image_id": row})
    reader.check()
    return listed_objects(reader, FORMAT, name_of(place), sorted(reader.images), files, options)


def objects_in(cell: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects in a cell, which lists objects or is a mapping of lists."""
    if isinstance(cell, Mapping):
        for values in zip(*cell.values(), strict=True):
            yield dict(zip(cell, values, strict=True))
    else:
        yield from cell or ()


def class_names(
    tables: Tables,
    columns: Columns,
    named: Callable[[], list[ClassTable]],
    options: DatasetOptions,
    place: Path,
) -> dict[Any, str]:
    """Return the class name of each value in the cells.

    Raises:
        DataError: The number of names given by the user differs from that of the classes.
    """
    from datasets import ClassLabel, LargeList, List

    features = next(iter(tables.values())).features
    fields = fields_of(features[columns.objects])
    key = str(field(fields, CATEGORIES))
    kind = fields[key].feature if isinstance(fields[key], List | LargeList) else fields[key]
    if isinstance(kind, ClassLabel):
        names: dict[Any, str] = dict(enumerate(kind.names))
    else:
        used = sorted(
            {value for table in tables.values() for value in used_in(table, columns, key)}
        )
        rows = [(at, row) for table in named()[:1] for at, row in enumerate(table.rows)]
        beside = {at if row.value is None else row.value: row.name for at, row in rows}
        names = beside if beside and set(used) <= set(beside) else called(used)
    if options.names is not None and len(options.names) != len(names):
        raise DataError(f"{len(options.names)} names, but {place} has {len(names)} classes")
    return dict(zip(names, options.names or names.values(), strict=True))


def used_in(table: Any, columns: Columns, key: str) -> Iterator[Any]:
    """Yield the class of each object of a table."""
    for cell in table.select_columns([columns.objects]):
        for item in objects_in(cell[columns.objects]):
            yield item[key]


def called(used: list[Any]) -> dict[Any, str]:
    """Return names for classes without names."""
    return {value: value if isinstance(value, str) else f"class {value}" for value in used}
