"""Open tables with a column of images and a column of label maps."""

from collections.abc import Callable
from pathlib import Path

from unimask.datasets.interface import Dataset, DatasetInfo, DatasetOptions
from unimask.datasets.maps.class_table import ClassTable
from unimask.datasets.maps.image_pairs import open_maps
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.tables.class_names import class_list_tables
from unimask.datasets.tables.columns import Columns
from unimask.datasets.tables.packing import Tables, filled_rows, packed_files
from unimask.errors import DataError


def open_packed_maps(
    tables: Tables,
    split: str,
    place: Path,
    columns: Columns,
    find_class_tables: Callable[[], list[ClassTable]],
    options: DatasetOptions,
) -> Dataset:
    """Open the maps of a split; the maps of all splits together decide what values mean.

    Args:
        tables: Table of each split.
        split: Split to open.
        place: Path or Hub name of the dataset.
        columns: Columns of images and labels.
        find_class_tables: Function that returns the class tables beside the dataset's tables.
        options: Options given by the user.

    Raises:
        DataError: There is no map, a map cannot be read, or names do not fit.
    """
    pairs = {name: pair_columns(tables, name, place, columns) for name in tables}
    files: list[MapFile] = [file for each in pairs.values() for file in each.maps]
    if not pairs[split].maps:
        raise DataError(
            f"{place} has no maps in column {columns.map} of {split}: choose another split"
        )

    def find_tables() -> list[ClassTable]:
        return [*find_class_tables(), *class_list_tables(tables[split].features, place)]

    name_folders = [place] if place.is_dir() else []
    dataset = open_maps(pairs[split], files, place, name_folders, find_tables, options)
    info = dataset.info
    notes = f"images in {columns.image}, labels in {columns.map}; {info.notes}"
    dataset.info = DatasetInfo(f"Hugging Face dataset of {info.format}", info.tasks, notes)
    return dataset


def pair_columns(tables: Tables, split: str, place: Path, columns: Columns) -> Pairs:
    """Pair the images of a split with their maps."""
    map_column = str(columns.map)
    table, pairs = tables[split], Pairs()
    if not {columns.image, map_column} <= table.features.keys():
        return pairs
    rows = filled_rows(table, [columns.image, map_column])
    folder = place / split
    pairs.images.extend(packed_files(table, columns.image, folder / columns.image, rows))
    pairs.maps.extend(packed_files(table, map_column, folder / map_column, rows))
    missing = sorted(set(filled_rows(table, [columns.image])) - set(rows))
    unlabelled = packed_files(table, columns.image, folder / columns.image, missing)
    pairs.unlabelled.extend(unlabelled)
    return pairs
