"""Separate the label maps of a dataset from its images, where all files of a folder are listed."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from unimask.datasets.maps.file_sets import FileSet, attach_endings, sets_of, told_apart
from unimask.datasets.maps.mask_folders import paths_of
from unimask.datasets.maps.sampled_maps import is_flat
from unimask.datasets.maps.words import MAP_WORDS, words_in

SAMPLED = 6
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
        for each in sets_of(folder, folder.relative_to(root).parts, sorted(names))
    ]
    alike: dict[str, list[Path]] = defaultdict(list)
    for each in attach_endings(told_apart(sets)):
        if each.role == "map":
            alike[mark_of(each)] += paths_of(each)
    maps = {path for files in alike.values() if are_maps(files) for path in files}
    images = [path for path in paths if path not in maps]
    return (images, sorted(maps)) if images else (list(paths), [])


def mark_of(each: FileSet) -> str:
    """Return the innermost name that marks files as maps."""
    names = (*each.folders, each.marks)
    return next(name for name in reversed(names) if MAP_WORDS & set(words_in(name)))


def are_maps(files: Sequence[Path]) -> bool:
    """Return whether a sample of files has the pixels of label maps."""
    return all(is_flat(path) for path in files[:: -(-len(files) // SAMPLED)])
