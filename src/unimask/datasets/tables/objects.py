"""Open tables with a column of images and a column that lists their objects as COCO does."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unimask.datasets.interface import DatasetOptions
from unimask.datasets.maps.class_table import ClassTable
from unimask.datasets.maps.dataset import dataset_name
from unimask.datasets.objects.coco_instances import CocoInstances, build_instances
from unimask.datasets.objects.coco_reader import CocoReader
from unimask.datasets.tables.columns import (
    BOX_FIELDS,
    CATEGORY_FIELDS,
    CROWD_FIELDS,
    ID_FIELDS,
    OUTLINE_FIELDS,
    Columns,
    first_field,
    object_fields,
)
from unimask.datasets.tables.packing import Tables, filled_rows, packed_files
from unimask.errors import DataError

FORMAT = "Hugging Face dataset of objects"

FIELD_NAMES = {
    "id": ID_FIELDS,
    "category_id": CATEGORY_FIELDS,
    "segmentation": OUTLINE_FIELDS,
    "bbox": BOX_FIELDS,
    "iscrowd": CROWD_FIELDS,
}
"""Names of COCO's fields in tables."""


def open_packed_objects(
    tables: Tables,
    split: str,
    place: Path,
    columns: Columns,
    find_class_tables: Callable[[], list[ClassTable]],
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
        find_class_tables: Function that returns the class tables beside the dataset's tables.
        options: Options with the class names, which override the detected ones, and the images'
            channels.

    Raises:
        DataError: An object is malformed, or names do not fit.
    """
    table = tables[split]
    rows = filled_rows(table, [columns.image])
    files = packed_files(table, columns.image, place / split / columns.image, rows)
    reader = CocoReader(place / split)
    for number, name in read_class_names(
        tables, columns, find_class_tables, options, place
    ).items():
        reader.read_item("categories", {"id": number, "name": name})
    selected = [columns.objects, *(name for name in ("height", "width") if name in table.features)]
    name_by_row = {row: file.virtual_path.name for row, file in zip(rows, files, strict=True)}
    for row, content in enumerate(table.select_columns(selected)):
        if row not in name_by_row:
            continue
        size = {name: content.get(name) for name in ("height", "width")}
        reader.read_item("images", {"id": row, "file_name": name_by_row[row], **size})
        for number, item in enumerate(iterate_objects(content[columns.objects]), start=1):
            reader.read_item("annotations", {"id": number, **coco_fields(item), "image_id": row})
    reader.check()
    return build_instances(
        reader, FORMAT, dataset_name(place), sorted(reader.images), files, options
    )


def coco_fields(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an object under the names that COCO gives them."""
    names = {key: first_field(item, FIELD_NAMES[key]) for key in FIELD_NAMES}
    return {key: item[name] for key, name in names.items() if name}


def iterate_objects(cell: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects in a cell, which lists objects or is a mapping of lists."""
    if isinstance(cell, Mapping):
        for values in zip(*cell.values(), strict=True):
            yield dict(zip(cell, values, strict=True))
    else:
        yield from cell or ()


def read_class_names(
    tables: Tables,
    columns: Columns,
    find_class_tables: Callable[[], list[ClassTable]],
    options: DatasetOptions,
    place: Path,
) -> dict[Any, str]:
    """Return the class name of each value in the cells.

    Raises:
        DataError: The number of names given by the user differs from that of the classes.
    """
    from datasets import ClassLabel, LargeList, List

    features = next(iter(tables.values())).features
    fields = object_fields(features[columns.objects])
    key = str(first_field(fields, CATEGORY_FIELDS))
    kind = fields[key].feature if isinstance(fields[key], List | LargeList) else fields[key]
    if isinstance(kind, ClassLabel):
        names: dict[Any, str] = dict(enumerate(kind.names))
    else:
        used_classes = {
            value for table in tables.values() for value in iterate_classes(table, columns, key)
        }
        names = name_used_classes(used_classes, find_class_tables())
    return rename_classes(names, options, place)


def name_used_classes(values: Iterable[Any], tables: Sequence[ClassTable]) -> dict[Any, str]:
    """Return the name of each class that occurs: from a table if that names all of them.

    Args:
        values: Values of the classes that occur.
        tables: Class tables beside the dataset, of which the first is used.
    """
    used_classes = sorted(values, key=lambda value: (isinstance(value, str), value))
    rows = [(at, row) for table in tables[:1] for at, row in enumerate(table.rows)]
    table_names = {at if row.value is None else row.value: row.name for at, row in rows}
    has_all = table_names and set(used_classes) <= set(table_names)
    return table_names if has_all else default_names(used_classes)


def rename_classes(names: dict[Any, str], options: DatasetOptions, place: Path) -> dict[Any, str]:
    """Return the class names given by the user, if there are any.

    Raises:
        DataError: The number of names differs from that of the classes.
    """
    if options.names is not None and len(options.names) != len(names):
        raise DataError(f"{len(options.names)} names, but {place} has {len(names)} classes")
    return dict(zip(names, options.names or names.values(), strict=True))


def iterate_classes(table: Any, columns: Columns, key: str) -> Iterator[Any]:
    """Yield the class of each object of a table."""
    for cell in table.select_columns([columns.objects]):
        for item in iterate_objects(cell[columns.objects]):
            yield item[key]


def default_names(used_classes: list[Any]) -> dict[Any, str]:
    """Return names for classes without names."""
    return {value: value if isinstance(value, str) else f"class {value}" for value in used_classes}
