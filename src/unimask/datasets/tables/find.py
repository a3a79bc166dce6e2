"""Which tables lie in a folder, or on the Hub under a name."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from unimask.datasets.found import WHOLE, Dataset, Found, Wish
from unimask.datasets.maps import channels, instance_ids, semantic
from unimask.datasets.maps.class_table import ClassTable, find_tables
from unimask.datasets.splits import split_named
from unimask.datasets.tables.class_names import in_card, in_file
from unimask.datasets.tables.columns import find_columns
from unimask.datasets.tables.maps import open_packed_maps
from unimask.datasets.tables.objects import open_packed_objects
from unimask.datasets.tables.packing import Tables
from unimask.errors import DataError, MissingExtraError

FORMAT = "Hugging Face dataset"

KINDS = (semantic.FORMAT, instance_ids.FORMAT, channels.FORMAT)
"""What the maps in its cells may be."""

SAVED = ("dataset_dict.json", "state.json")
"""What `save_to_disk` writes: the first for several splits, the second for one table."""

PARQUET = ("*.parquet", "data/*.parquet", "*/*.parquet")

NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?::([\w.-]+))?")
"""A repository of the Hub, a revision of it, and one of its configurations if it has several."""

NAMING = ("id2label.json", "README.md")
"""Files of a repository that may name classes."""


def find_tables_in(folder: Path) -> Found | None:
    """Look for what `save_to_disk` writes, or for parquet files as the Hub keeps them.

    Raises:
        DataError: They cannot be read.
        MissingExtraError: The extra `datasets` is not installed.
    """
    if any((folder / name).is_file() for name in SAVED):
        return found_in(loaded(folder, load_saved), folder, partial(tables_beside, folder))
    if any(next(folder.glob(pattern), None) is not None for pattern in PARQUET):
        return found_in(loaded(folder, load_repository), folder, partial(tables_beside, folder))
    return None


def is_on_hub(place: Path) -> bool:
    """Say whether a path that is not there may name a repository of the Hub."""
    return NAME.fullmatch(place.as_posix()) is not None and not place.exists()


def find_on_hub(place: Path) -> Found:
    """Fetch a dataset of the Hub, or take it from the cache, as its environment variables say.

    Args:
        place: "owner/name", "owner/name@revision", "owner/name:configuration", or both.

    Raises:
        DataError: It is not there, cannot be fetched, is none of pictures, or the extra `datasets`
            is not installed.
    """
    name = place.as_posix()
    try:
        return found_in(loaded(name, fetch_repository), place, partial(tables_on_hub, name))
    except (DataError, MissingExtraError) as error:
        raise DataError(f"{name} is no folder here; as a name on the Hub, {error}") from error


def load_saved(place: str) -> Any:
    """Open what `save_to_disk` wrote: one table, or tables by split."""
    from datasets import load_from_disk

    return load_from_disk(place)


def load_repository(place: str) -> Any:
    """Open a folder of parquet files: tables by split."""
    from datasets import load_dataset

    return load_dataset(place)


def fetch_repository(place: str) -> Any:
    """Open a repository of the Hub: tables by split."""
    from datasets import load_dataset

    name, revision, configuration = parts_of(place)
    return load_dataset(name, configuration, revision=revision)


def parts_of(name: str) -> tuple[str, str | None, str | None]:
    """Give the repository, the revision and the configuration that a name on the Hub asks for."""
    found = NAME.fullmatch(name)
    return (name, None, None) if found is None else (found[1], found[2], found[3])


def loaded(place: Path | str, load: Callable[[str], Any]) -> Tables:
    """Load tables, and call their splits as all datasets do.

    Raises:
        DataError: They cannot be loaded.
        MissingExtraError: The extra `datasets` is not installed.
    """
    try:
        from datasets import Dataset as Table
    except ImportError:
        raise MissingExtraError("datasets", "datasets") from None
    try:
        tables = load(str(place))
    except Exception as error:  # whatever it and the formats below it raise
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{place} cannot be opened as a Hugging Face dataset ({told}): check the name, or "
            "save or download it again"
        ) from error
    if isinstance(tables, Table):
        return {WHOLE: tables}
    splits: dict[str, Any] = {}
    for name, table in tables.items():
        split = split_named(str(name)) or str(name)
        splits[str(name) if split in splits else split] = table
    return splits


def found_in(tables: Tables, place: Path, named: Callable[[], list[ClassTable]]) -> Found:
    """Say what tables hold.

    Raises:
        DataError: They hold no pictures with labels.
    """
    find_columns(next(iter(tables.values())).features, place)  # refused before it is opened
    openers = {split: partial(open_split, tables, split, place, named) for split in tables}
    return Found(FORMAT, openers, KINDS)


def open_split(
    tables: Tables, split: str, place: Path, named: Callable[[], list[ClassTable]], wish: Wish
) -> Dataset:
    """Open one split.

    Raises:
        DataError: Its labels cannot be understood, or are objects where maps are asked for.
    """
    columns = find_columns(tables[split].features, place)
    if columns.map is not None:
        return open_packed_maps(tables, split, place, columns, named, wish)
    if wish.format is not None:
        raise DataError(f"{place} lists objects in {columns.objects}: it has no {wish.format}")
    return open_packed_objects(tables, split, place, columns, named, wish)


def tables_beside(folder: Path) -> list[ClassTable]:
    """Give what names classes in a folder."""
    return [*find_tables([folder]), *in_card(folder / "README.md")]


def tables_on_hub(name: str) -> list[ClassTable]:
    """Give what names classes in a repository; files that it lacks name none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    files: dict[str, Path] = {}
    repository, revision, _ = parts_of(name)
    for file in NAMING:
        try:
            fetched = hf_hub_download(repository, file, repo_type="dataset", revision=revision)
        except (EntryNotFoundError, HfHubHTTPError):
            continue
        files[file] = Path(fetched)
    found = in_file(files[NAMING[0]]) if NAMING[0] in files else []
    return [*found, *(in_card(files[NAMING[1]]) if NAMING[1] in files else [])]
