"""Find folders that hold all masks of one image, a file per object or per class."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from unimask.datasets.maps.file_sets import FileSet
from unimask.datasets.maps.folder_words import class_from_name, parse_key
from unimask.errors import DataError

OWNED = 0.5
"""Minimum share of images that have a folder of masks, or of such folders that have an image."""


DIGIT = re.compile("[0-9]")


def folders_by_image(
    images: Sequence[FileSet], maps: Sequence[FileSet]
) -> list[tuple[FileSet, dict[str, FileSet]]]:
    """Return images whose masks lie in folders with the names of the images ("masks/p00/0.png").

    Folders that hold images as well ("images/seq1", "masks/seq1") are not folders of one image.

    Returns:
        Each set of images, with the masks of each image by its key.
    """
    shared = {owner for photos in images for owner in owners_of(photos)}
    masks: dict[str, list[FileSet]] = defaultdict(list)
    for each in maps:
        for owner in owners_of(each) - shared:
            masks[owner].append(each)
    found = []
    for photos in images:
        owned = {key: merged(masks[key]) for key in photos.files if key in masks}
        if owned and len(owned) >= OWNED * min(len(photos.files), len(masks)):
            found.append((photos, owned))
    return found


def owners_of(each: FileSet) -> set[str]:
    """Return the image keys that the innermost telling folder of some files may stand for."""
    for name in reversed(each.folders):
        if parse_key(name)[0]:
            return {parse_key(form)[0].casefold() for form in (name, PurePath(name).stem)}
    return set()


def merged(sets: Sequence[FileSet]) -> FileSet:
    """Return all masks of one image as one set, in the order of their paths."""
    paths = sorted(path for each in sets for path in paths_of(each))
    return replace(sets[0], files={str(path): path for path in paths}, siblings={})


def paths_of(each: FileSet) -> list[Path]:
    """Return all files of a set, with siblings."""
    return [*each.files.values(), *(path for paths in each.siblings.values() for path in paths)]


def masks_of_one(photos: FileSet, near: Sequence[FileSet]) -> FileSet | None:
    """Return the masks of a single image: the only set of maps in a folder beside or in its own."""
    beside = [
        each
        for each in near
        if each.folders[:-1] in (photos.folders, photos.folders[:-1]) and len(each.folders) > 1
    ]
    named = [each for each in beside if each.role == "map"]
    return named[0] if len(named) == 1 else None


def classes_in(folders: Sequence[Mapping[str, Path]]) -> tuple[str, ...]:
    """Return the classes that masks are named after ("p00/masks/cat.png"), sorted.

    Args:
        folders: Masks of each image, by any key.

    Returns:
        Classes; empty if names only number the masks, each of which is an object then.

    Raises:
        DataError: Masks are named after several classes and numbered ("cat_0", "dog_1").
    """
    stems = {path.stem for folder in folders for path in folder.values()}
    classes = {name for stem in stems if (name := class_from_name(stem)) is not None}
    if len(classes) > 1 and not any(map(DIGIT.search, stems)):
        return tuple(sorted(classes)) if len(classes) == len(stems) else ()
    numbered = [
        [class_from_name(DIGIT.sub("", path.stem).strip("_-. ")) for path in folder.values()]
        for folder in folders
    ]
    words = [set(names) for names in numbered]
    common = set.intersection(*words) if len(words) > 1 else set()
    if len(common - {None}) > 1 and any(len(set(names)) < len(names) for names in numbered):
        example = next(iter(folders[0].values()))
        raise DataError(
            f"{example.parent} holds a mask per object, named after {' and '.join(sorted(common))}:"
            " give --format 'instance ids' (format=) to read them as objects of one class"
        )
    return ()
