"""Detect datasets in the folders inside a folder."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from unimask.datasets.image_files import is_ignored
from unimask.datasets.interface import DetectedDataset, Evidence
from unimask.datasets.maps.folder_words import role_from_names
from unimask.datasets.splits import split_from_name
from unimask.errors import DataError

Finder = Callable[[Path], DetectedDataset | None]
"""Function that detects one format in a folder."""

MAX_NESTED_FOLDERS = 4
"""Maximum depth of nested folders."""

MAX_SUBFOLDERS = 64
"""Maximum number of inner folders that are inspected."""


def unwrap_folder(folder: Path) -> Path:
    """Return the innermost folder of folders that each hold nothing but another one.

    A folder whose name tells a split, images or label maps is part of a dataset.
    """
    for _ in range(MAX_NESTED_FOLDERS):
        try:
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not is_ignored(entry.name)][:2]
        except OSError:  # finders report it
            break
        if len(visible) != 1 or not visible[0].is_dir():
            break
        name = visible[0].name
        if split_from_name(name) is not None or role_from_names((name,)) is not None:
            break
        folder = folder / name
    return folder


def find_nested(
    folder: Path, find: Finder, levels: Sequence[Sequence[Path]]
) -> DetectedDataset | None:
    """Detect one format in the folders below a folder; None if several folders have it.

    Args:
        folder: Folder of the dataset.
        find: Finder of the format.
        levels: Folders below it; see `inner_levels`.

    Raises:
        DataError: Several folders have the layout of one published dataset.
    """
    for level in levels:
        detected = {inner: result for inner in level if (result := find(inner)) is not None}
        detected = {p: each for p, each in detected.items() if each.evidence > Evidence.EMPTY}
        if len(detected) == 1:
            return next(iter(detected.values()))
        if detected and all(each.evidence == Evidence.LAYOUT for each in detected.values()):
            names = ", ".join(str(inner.relative_to(folder)) for inner in detected)
            raise DataError(f"{folder} holds {len(detected)} datasets ({names}): pass one of them")
        if detected:
            return None
    return None


def inner_levels(folder: Path) -> list[list[Path]]:
    """Return the folders below a folder by their depth, down to the first level with too many."""
    levels = [[folder]]
    while len(levels) <= MAX_NESTED_FOLDERS and 0 < len(levels[-1]) <= MAX_SUBFOLDERS:
        levels.append([inner for each in levels[-1] for inner in subfolders(each)])
    return [level for level in levels[1:] if len(level) <= MAX_SUBFOLDERS]


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, without hidden ones."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not is_ignored(entry.name) and entry.is_dir()]
    return [folder / name for name in sorted(names)]
