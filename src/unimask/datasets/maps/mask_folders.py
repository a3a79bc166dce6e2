"""Find folders that hold all masks of one image, a file per object or per class."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from unimask.datasets.maps.file_sets import FileSet
from unimask.datasets.maps.folder_words import class_from_name, parse_key
from unimask.errors import DataError

MIN_FOLDER_SHARE = 0.5
"""Minimum share of images that have a folder of masks, or of such folders that have an image."""


DIGIT = re.compile("[0-9]")


def find_mask_folders(
    images: Sequence[FileSet], maps: Sequence[FileSet]
) -> list[tuple[FileSet, dict[str, FileSet]]]:
    """Return images whose masks lie in folders with the names of the images ("masks/p00/0.png").

    Folders that hold images as well ("images/seq1", "masks/seq1") are not folders of one image.

    Returns:
        Each set of images, with the masks of each image by its key.
    """
    image_folders = {owner for image_set in images for owner in image_keys(image_set)}
    masks: dict[str, list[FileSet]] = defaultdict(list)
    for each in maps:
        for owner in image_keys(each) - image_folders:
            masks[owner].append(each)
    result = []
    for image_set in images:
        mask_sets = {key: merge_mask_sets(masks[key]) for key in image_set.files if key in masks}
        if mask_sets and len(mask_sets) >= MIN_FOLDER_SHARE * min(len(image_set.files), len(masks)):
            result.append((image_set, mask_sets))
    return result


def image_keys(each: FileSet) -> set[str]:
    """Return the image keys that the innermost folder with a name of its own may stand for."""
    for name in reversed(each.folders):
        if parse_key(name)[0]:
            return {parse_key(form)[0].casefold() for form in (name, PurePath(name).stem)}
    return set()


def merge_mask_sets(sets: Sequence[FileSet]) -> FileSet:
    """Return all masks of one image as one set, in the order of their paths."""
    paths = sorted(path for each in sets for path in list_paths(each))
    return replace(sets[0], files={str(path): path for path in paths}, siblings={})


def list_paths(each: FileSet) -> list[Path]:
    """Return all files of a set, with siblings."""
    return [*each.files.values(), *(path for paths in each.siblings.values() for path in paths)]


def find_single_image_masks(image_set: FileSet, nearby: Sequence[FileSet]) -> FileSet | None:
    """Return the masks of a single image: the only set of maps in a folder beside or in its own."""
    siblings = [
        each
        for each in nearby
        if each.folders[:-1] in (image_set.folders, image_set.folders[:-1])
        and len(each.folders) > 1
    ]
    map_sets = [each for each in siblings if each.role == "map"]
    return map_sets[0] if len(map_sets) == 1 else None


def classes_from_file_names(folders: Sequence[Mapping[str, Path]]) -> tuple[str, ...]:
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
            " pass --format 'instance ids' (format=) to read them as objects of one class"
        )
    return ()
