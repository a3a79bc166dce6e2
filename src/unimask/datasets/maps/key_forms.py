"""Normalise the keys that images and label maps share: lower case, and running numbers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from unimask.datasets.maps.file_sets import SEPARATOR, FileSet

RUNNING_NUMBER = re.compile(r"(.*?)([0-9]{1,18})")
"""Pattern of a key that ends in a running number: "t012", "man_seg012"."""


CHANNEL_ENDING = re.compile("_0000$")
"""Ending that nnU-Net gives to names of images of one channel, or of colours."""


def lower_case_keys(*groups: Sequence[FileSet]) -> list[list[FileSet]]:
    """Convert the keys of all file sets to lower case, unless two keys of a set would be equal."""
    sets = [each for group in groups for each in group]
    if any(len(set(map(str.casefold, each.files))) < len(each.files) for each in sets):
        return [list(group) for group in groups]
    return [[casefold_keys(each) for each in group] for group in groups]


def casefold_keys(each: FileSet) -> FileSet:
    """Return a file set with lower-case keys."""
    files = {key.casefold(): path for key, path in each.files.items()}
    siblings = {key.casefold(): paths for key, paths in each.siblings.items()}
    return replace(each, files=files, siblings=siblings)


def remove_channel(sets: Sequence[FileSet]) -> list[FileSet]:
    """Remove the channel that nnU-Net appends to names of images, if all have the same ("_0000").

    Sets with several channels or none are omitted: each image would need all its channels.
    """
    with_channel = [each for each in sets if all(CHANNEL_ENDING.search(key) for key in each.files)]
    return [
        replace(each, files={CHANNEL_ENDING.sub("", key): path for key, path in each.files.items()})
        for each in with_channel
    ]


def numbered_sets(sets: Iterable[FileSet]) -> list[FileSet]:
    """Return the file sets whose keys are one word and a running number, keyed by the number."""
    return [numbered for each in sets if (numbered := key_by_number(each)) is not None]


def key_by_number(each: FileSet) -> FileSet | None:
    """Return a file set keyed by its running numbers; None if the rest of the keys differs."""
    matches = [RUNNING_NUMBER.fullmatch(key) for key in each.files]
    if not all(matches) or len({match[1] for match in matches if match}) != 1:
        return None
    files = {
        str(int(match[2])): path
        for match, path in zip(matches, each.files.values(), strict=True)
        if match
    }
    unique = len(files) == len(each.files) and not each.siblings
    return replace(each, files=files) if unique else None


def sets_with_numbers(
    images: FileSet, maps: Sequence[FileSet], *, is_only_set: bool
) -> list[FileSet]:
    """Return the map sets whose numbers all occur among the numbers of the images.

    Map sets in folders named after the images' folder take precedence ("01_GT" for "01").

    Args:
        images: Images by number.
        maps: Map sets by number.
        is_only_set: Whether there are no other images, so that maps in any folder may belong to
            these.
    """
    subsets = [map_set for map_set in maps if map_set.files.keys() <= images.files.keys()]
    image_folder = images.folders[-1:]
    named_after_images = [
        e for e in subsets if any(starts_with_folder(name, image_folder) for name in e.folders)
    ]
    return named_after_images or (subsets if is_only_set else [])


def starts_with_folder(name: str, folders: tuple[str, ...]) -> bool:
    """Return whether the first word of a folder's name is one of these folder names."""
    return SEPARATOR.split(name)[0] in folders
