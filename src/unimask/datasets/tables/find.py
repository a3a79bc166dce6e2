"""Find the tables in a folder, or those of a dataset on the Hub."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from unimask.datasets.interface import ALL_IMAGES, Dataset, DatasetOptions, DetectedDataset
from unimask.datasets.maps import channels, instance_ids, semantic
from unimask.datasets.maps.class_table import ClassTable, find_tables
from unimask.datasets.splits import split_from_name
from unimask.datasets.tables.class_names import read_dataset_card, read_names_file
from unimask.datasets.tables.columns import find_columns
from unimask.datasets.tables.maps import open_packed_maps
from unimask.datasets.tables.objects import open_packed_objects
from unimask.datasets.tables.packing import Tables
from unimask.errors import DataError, MissingExtraError, one_line

FORMAT = "Hugging Face dataset"

MAP_FORMATS = (semantic.FORMAT, instance_ids.FORMAT, channels.FORMAT)
"""Formats of the maps in the tables' cells."""

SAVED_FILES = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` writes: the first for several splits, the second for one table."""

PARQUET_PATTERNS = ("*.parquet", "data/*.parquet", "*/*.parquet")

HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?::([\w.-]+))?")
"""Name of a Hub repository, with an optional revision and an optional configuration."""

NAME_FILES = ("id2label.json", "README.md")
"""Files of a repository that may name classes."""


def find_tables_in_folder(folder: Path) -> DetectedDataset | None:
    """Detect tables written by `save_to_disk`, or parquet files in the layout of the Hub.

    Raises:
        DataError: The tables cannot be read.
        MissingExtraError: The extra `datasets` is not installed.
    """
    if any((folder / name).is_file() for name in SAVED_FILES):
        return describe_tables(
            load_tables(folder, load_saved), folder, partial(find_class_tables_in_folder, folder)
        )
    if any(next(folder.glob(pattern), None) is not None for pattern in PARQUET_PATTERNS):
        return describe_tables(
            load_tables(folder, load_repository),
            folder,
            partial(find_class_tables_in_folder, folder),
        )
    return None


def is_on_hub(place: Path) -> bool:
    """Return whether a path that does not exist may name a repository on the Hub."""
    return HUB_NAME.fullmatch(place.as_posix()) is not None and not place.exists()


def find_on_hub(place: Path) -> DetectedDataset:
    """Download a dataset from the Hub, or load it from the Hub's cache.

    Args:
        place: "owner/name", "owner/name@revision", "owner/name:configuration", or both.

    Raises:
        DataError: The dataset does not exist, cannot be downloaded, has no images, or the extra
            `datasets` is not installed.
    """
    name = place.as_posix()
    try:
        return describe_tables(
            load_tables(name, fetch_repository), place, partial(download_class_tables, name)
        )
    except (DataError, MissingExtraError) as error:
        raise DataError(f"{name} is not a local folder; as a name on the Hub, {error}") from error


def load_saved(place: str) -> Any:
    """Load what `save_to_disk` wrote: one table, or tables by split."""
    from datasets import load_from_disk

    return load_from_disk(place)


def load_repository(place: str) -> Any:
    """Load a folder of parquet files: tables by split."""
    from datasets import load_dataset

    return load_dataset(place)


def fetch_repository(place: str) -> Any:
    """Load a repository of the Hub: tables by split."""
    from datasets import load_dataset

    name, revision, configuration = parse_hub_name(place)
    return load_dataset(name, configuration, revision=revision)


def parse_hub_name(name: str) -> tuple[str, str | None, str | None]:
    """Parse a name on the Hub into the repository, the revision and the configuration."""
    match = HUB_NAME.fullmatch(name)
    return (name, None, None) if match is None else (match[1], match[2], match[3])


def load_tables(place: Path | str, load: Callable[[str], Any]) -> Tables:
    """Load tables, and name their splits as in other datasets.

    Raises:
        DataError: The tables cannot be loaded.
        MissingExtraError: The extra `datasets` is not installed.
    """
    try:
        from datasets import Dataset as Table
    except ImportError:
        raise MissingExtraError("datasets", "datasets") from None
    try:
        tables = load(str(place))
        for table in [tables] if isinstance(tables, Table) else tables.values():
            table.data.validate(full=True)  # Arrow reads wherever the offsets of a file point
    except Exception as error:  # the library and its formats raise many types of exceptions
        raise DataError(
            f"{place} cannot be opened as a Hugging Face dataset ({one_line(error, 300)}): "
            "check the name, or save or download it again"
        ) from error
    if isinstance(tables, Table):
        return {ALL_IMAGES: tables}
    splits: dict[str, Any] = {}
    for name, table in tables.items():
        split = split_from_name(str(name)) or str(name)
        splits[str(name) if split in splits else split] = table
    if not splits:
        raise DataError(f"{place} is a Hugging Face dataset without splits: save it again")
    return splits


def describe_tables(
    tables: Tables, place: Path, find_class_tables: Callable[[], list[ClassTable]]
) -> DetectedDataset:
    """Return the format and the splits of tables.

    Raises:
        DataError: The tables have no images with labels.
    """
    find_columns(next(iter(tables.values())).features, place)  # raises before a split is opened
    openers = {
        split: partial(open_split, tables, split, place, find_class_tables) for split in tables
    }
    return DetectedDataset(FORMAT, openers, MAP_FORMATS)


def open_split(
    tables: Tables,
    split: str,
    place: Path,
    find_class_tables: Callable[[], list[ClassTable]],
    options: DatasetOptions,
) -> Dataset:
    """Open one split.

    Raises:
        DataError: The labels cannot be interpreted, or are objects although maps are requested.
    """
    columns = find_columns(tables[split].features, place)
    if columns.map is not None:
        return open_packed_maps(tables, split, place, columns, find_class_tables, options)
    if options.format is not None:
        raise DataError(f"{place} lists objects in {columns.objects}: it has no {options.format}")
    return open_packed_objects(tables, split, place, columns, find_class_tables, options)


def find_class_tables_in_folder(folder: Path) -> list[ClassTable]:
    """Return the tables of class names in a folder."""
    return [*find_tables([folder]), *read_dataset_card(folder / "README.md")]


def download_class_tables(name: str) -> list[ClassTable]:
    """Return the tables of class names in a repository; missing files are skipped."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    files: dict[str, Path] = {}
    repository, revision, _ = parse_hub_name(name)
    for file in NAME_FILES:
        try:
            path = hf_hub_download(repository, file, repo_type="dataset", revision=revision)
        except (EntryNotFoundError, HfHubHTTPError):
            continue
        files[file] = Path(path)
    tables = read_names_file(files[NAME_FILES[0]]) if NAME_FILES[0] in files else []
    return [*tables, *(read_dataset_card(files[NAME_FILES[1]]) if NAME_FILES[1] in files else [])]
