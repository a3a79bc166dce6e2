"""Group the image files of a folder tree by folder and by the words in their names."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unimask.datasets.image_files import data_subfolders
from unimask.datasets.maps.folder_words import (
    MAP_WORDS,
    Role,
    parse_key,
    role_from_names,
    split_from_names,
)
from unimask.datasets.splits import SPLIT_NAMES
from unimask.processing.images import IMAGE_SUFFIXES

MAP_SUFFIXES = IMAGE_SUFFIXES | {".npz"}

SEPARATOR = re.compile(r"[_\-. ]+")
"""Separators between the words of a file name."""

MIN_ENDING_SHARE = 0.5
"""Minimum share of a folder's images that have a file with an ending, if the ending marks maps."""


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files of one folder and one kind.

    Attributes:
        folders: Names of the folders from the dataset's down to the files'.
        affixes: Words in the file names besides the key that partners share ("mask").
        is_mixed: Whether the folder holds files of other kinds too.
        files: Path of each file by the key that partners share.
        siblings: Further files of a key, such as "x_mask_1" beside "x_mask".
        num_common_folders: Number of outer folders that contain every file of the dataset; their
            names are ignored when determining the role.
    """

    folders: tuple[str, ...]
    affixes: str
    is_mixed: bool
    files: Mapping[str, Path]
    siblings: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    num_common_folders: int = 0

    @property
    def role(self) -> Role | None:
        """Role of the files by their names: image, map or undetermined.

        In a folder with several kinds of files the file names decide first; otherwise the folder
        names decide first, since "image_1.png" can be the mask of "image_1.jpg".
        """
        folders, affixes = self.folders[self.num_common_folders :], (self.affixes,)
        return role_from_names(folders + affixes if self.is_mixed else affixes + folders)

    @property
    def split(self) -> str | None:
        """Split that the folder names state; None if they state none."""
        return split_from_names(self.folders)


def find_file_sets(folder: Path) -> Iterator[FileSet]:
    """Yield the images and maps below a folder, grouped by folder and kind."""
    visited: set[str] = set()
    for path, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        inner[:] = [] if real in visited else data_subfolders(Path(path), inner)
        names = [n for n in names if os.path.splitext(n)[1].lower() in MAP_SUFFIXES and n[0] != "."]
        if real in visited or not names:
            continue
        visited.add(real)
        yield from group_folder_files(
            Path(path), Path(path).relative_to(folder).parts, sorted(names)
        )


def set_common_folders(sets: list[FileSet]) -> list[FileSet]:
    """Set `num_common_folders` of each file set."""
    columns = list(zip(*(each.folders for each in sets), strict=False))
    num_common_folders = next((i for i, names in enumerate(columns) if len(set(names)) > 1), 0)
    return [replace(each, num_common_folders=num_common_folders) for each in sets]


def group_folder_files(path: Path, folders: tuple[str, ...], names: list[str]) -> Iterator[FileSet]:
    """Group the files of one folder by their marks and, if keys repeat, by their suffix."""
    by_affixes: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in names:
        key, marks = parse_key(os.path.splitext(name)[0])
        key = remove_split(key, split_from_names(folders))
        by_affixes[marks].append((key, name))
    for marks, named_files in by_affixes.items():
        repeated = len({key for key, _ in named_files}) < len(named_files)
        by_suffix: dict[str, dict[str, Path]] = defaultdict(dict)
        for key, name in named_files:
            files = by_suffix[os.path.splitext(name)[1].lower() if repeated else ""]
            files[name if key in files else key] = path / name
        for files in by_suffix.values():
            is_mixed = len(by_affixes) > 1 or len(by_suffix) > 1
            yield FileSet(folders, marks, is_mixed, files)


def remove_split(key: str, split: str | None) -> str:
    """Remove a last word that only repeats the split of the folder ("21_training")."""
    head, word = split_last_word(key)
    return head if head and split is not None and SPLIT_NAMES.get(word.lower()) == split else key


def split_last_word(key: str) -> tuple[str, str]:
    """Return a name without its last word, and that word; a single word leaves an empty name."""
    places = list(SEPARATOR.finditer(key))
    return (key[: places[-1].start()], key[places[-1].end() :]) if places else ("", key)


def key_by_image_names(sets: Sequence[FileSet], *, any_ending: bool = False) -> list[FileSet]:
    """Key maps whose names extend the names of images by the names of those images.

    "x_mask_1" is another map of "x", and "x_cat" in a folder of maps is its map of cats. Files with
    the same ending become a set of their own; numbers are not endings but count siblings.

    Args:
        sets: All file sets.
        any_ending: Whether an ending that half of the images have marks maps even if it is no known
            word.
    """
    counts = Counter(key for each in sets for key in each.files)
    result: list[FileSet] = []
    for each in sets:
        groups: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for key in each.files:
            owner, ending = find_owner(key, counts) if counts[key] == 1 else ("", "")
            words = [word for word in ending.split("_") if word and not word.isdecimal()]
            is_map = each.role == "map" or bool(MAP_WORDS & {word.lower() for word in words})
            is_numbered = not words and owner in each.files  # "x_2" beside "x": another image's map
            if owner and not is_numbered and (is_map or (any_ending and words)):
                groups[" ".join(filter(None, (*words, each.affixes)))][owner].append(key)
        if any_ending:
            images = len({owner for files in groups.values() for owner in files})
            groups = {
                e: files for e, files in groups.items() if len(files) >= MIN_ENDING_SHARE * images
            }
        assigned = {key for files in groups.values() for keys in files.values() for key in keys}
        rest = {key: path for key, path in each.files.items() if key not in assigned}
        remaining = replace(each, files=rest, is_mixed=each.is_mixed or bool(groups))
        for ending, files in groups.items():
            existing = (
                remaining if ending == remaining.affixes and remaining.role == "map" else None
            )
            ending_set = build_ending_set(each, ending, files, existing)
            remaining = replace(remaining, files={}) if existing is not None else remaining
            result.append(ending_set)
        result += [remaining] if remaining.files else []
    return merge_sets(result)


def build_ending_set(
    source: FileSet, ending: str, groups: Mapping[str, Sequence[str]], existing: FileSet | None
) -> FileSet:
    """Return a file set of one ending, keyed by the names of the images.

    Args:
        source: File set that holds the files.
        ending: Ending that the file names share.
        groups: Keys of the files by the key of their image.
        existing: File set of the same kind whose keys already are those of images; None for none.
    """
    files = {} if existing is None else dict(existing.files)
    siblings: dict[str, tuple[Path, ...]] = {}
    for owner, keys in groups.items():
        paths = tuple(source.files[key] for key in keys)
        siblings[owner] = paths if owner in files else paths[1:]
        files.setdefault(owner, paths[0])
    return replace(source, affixes=ending, is_mixed=True, files=files, siblings=siblings)


def merge_sets(sets: Sequence[FileSet]) -> list[FileSet]:
    """Merge sets of one folder and one kind: "x_mask" and "x_mask_1"."""
    merged: dict[tuple[object, ...], FileSet] = {}
    for number, each in enumerate(sets):
        group = (each.folders, each.affixes) if each.role == "map" else (number,)
        other = merged.get(group)
        if other is None or not (each.siblings or other.siblings):
            merged[group if other is None else (number,)] = each
            continue
        first, later = (other, each) if each.siblings else (each, other)
        siblings = dict(later.siblings)
        for key, path in later.files.items():
            if key in first.files:
                siblings[key] = (path, *siblings.get(key, ()))
        files = {**later.files, **first.files}
        merged[group] = replace(first, files=files, siblings=siblings)
    return list(merged.values())


def find_owner(key: str, names: Mapping[str, int]) -> tuple[str, str]:
    """Return the longest other name that is a prefix of a name, and the rest of the name."""
    head = key
    while head := split_last_word(head)[0]:
        if head in names:
            return head, SEPARATOR.sub("_", key[len(head) :]).strip("_")
    return "", ""
