"""Separate the label maps of a dataset from its images, where all files of a folder are listed."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from unimask.datasets.maps.file_sets import (
    FileSet,
    group_folder_files,
    key_by_image_names,
    set_common_folders,
)
from unimask.datasets.maps.folder_words import MAP_WORDS, split_words
from unimask.datasets.maps.mask_folders import list_paths
from unimask.datasets.maps.sampled_maps import is_label_map

MAX_SAMPLED_FILES = 6
"""Number of files whose content is checked, of all that are named alike."""


def separate_maps(paths: Sequence[Path], root: Path) -> tuple[list[Path], list[Path]]:
    """Divide image files into images and label maps.

    Files are label maps if names below `root` mark them ("masks/x.png", "x_mask.png") and the
    pixels of a sample are those of maps. If all files are, they count as images: without images
    beside them, the user means these.

    Args:
        paths: Image files below `root`.
        root: Folder whose own name, and those above it, do not count.
    """
    by_folder: dict[Path, list[str]] = defaultdict(list)
    for path in paths:
        by_folder[path.parent].append(path.name)
    sets = [
        each
        for folder, names in by_folder.items()
        for each in group_folder_files(folder, folder.relative_to(root).parts, sorted(names))
    ]
    files_by_word: dict[str, list[Path]] = defaultdict(list)
    for each in key_by_image_names(set_common_folders(sets)):
        if each.role == "map":
            files_by_word[find_map_word(each)] += list_paths(each)
    maps = {path for files in files_by_word.values() if have_map_pixels(files) for path in files}
    images = [path for path in paths if path not in maps]
    return (images, sorted(maps)) if images else (list(paths), [])


def find_map_word(each: FileSet) -> str:
    """Return the innermost name that marks files as maps."""
    names = (*each.folders, each.affixes)
    return next(name for name in reversed(names) if MAP_WORDS & set(split_words(name)))


def have_map_pixels(files: Sequence[Path]) -> bool:
    """Return whether a sample of files has the pixels of label maps."""
    return all(is_label_map(path) for path in files[:: -(-len(files) // MAX_SAMPLED_FILES)])
