"""Group the image files of a folder tree by folder and by the words in their names."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unimask.datasets.image_files import datasets_in
from unimask.datasets.maps.words import MAP_WORDS, Role, key_of, role_of, split_of
from unimask.datasets.splits import SPLIT_NAMES
from unimask.processing.images import IMAGE_SUFFIXES

MAP_SUFFIXES = IMAGE_SUFFIXES | {".npz"}

SEPARATOR = re.compile(r"[_\-. ]+")
"""Separators between the words of a file name."""

COVERED = 0.5
"""Minimum share of a folder's images that have a file with an ending, if the ending marks maps."""


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files of one folder and one kind.

    Attributes:
        folders: Names of the folders from the dataset's down to the files'.
        marks: Words in the file names besides the key that partners share ("mask").
        mixed: Whether the folder holds files of other kinds too.
        files: Path of each file by the key that partners share.
        siblings: Further files of a key, such as "x_mask_1" beside "x_mask".
        outer: Number of outer folders that contain every file of the dataset; their names are
            ignored when determining the role.
    """

    folders: tuple[str, ...]
    marks: str
    mixed: bool
    files: Mapping[str, Path]
    siblings: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    outer: int = 0

    @property
    def role(self) -> Role | None:
        """Role of the files by their names: image, map or undetermined.

        In a folder with several kinds of files the file names decide first; otherwise the folder
        names decide first, since "image_1.png" can be the mask of "image_1.jpg".
        """
        folders, marks = self.folders[self.outer :], (self.marks,)
        return role_of(folders + marks if self.mixed else marks + folders)

    @property
    def split(self) -> str | None:
        """Split that the folder names state; None if they state none."""
        return split_of(self.folders)


def file_sets(folder: Path) -> Iterator[FileSet]:
    """Yield the images and maps below a folder, grouped by folder and kind."""
    visited: set[str] = set()
    for path, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        inner[:] = [] if real in visited else datasets_in(Path(path), inner)
        names = [n for n in names if os.path.splitext(n)[1].lower() in MAP_SUFFIXES and n[0] != "."]
        if real in visited or not names:
            continue
        visited.add(real)
        yield from sets_of(Path(path), Path(path).relative_to(folder).parts, sorted(names))


def told_apart(sets: list[FileSet]) -> list[FileSet]:
    """Set `outer` of each file set: the number of outer folders that all files share."""
    columns = list(zip(*(each.folders for each in sets), strict=False))
    outer = next((i for i, names in enumerate(columns) if len(set(names)) > 1), 0)
    return [replace(each, outer=outer) for each in sets]


def sets_of(path: Path, folders: tuple[str, ...], names: list[str]) -> Iterator[FileSet]:
    """Group the files of one folder by their marks and, if keys repeat, by their suffix."""
    by_marks: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in names:
        key, marks = key_of(os.path.splitext(name)[0])
        key = without_split(key, split_of(folders))
        by_marks[marks].append((key, name))
    for marks, named in by_marks.items():
        repeated = len({key for key, _ in named}) < len(named)
        by_suffix: dict[str, dict[str, Path]] = defaultdict(dict)
        for key, name in named:
            files = by_suffix[os.path.splitext(name)[1].lower() if repeated else ""]
            files[name if key in files else key] = path / name
        for files in by_suffix.values():
            mixed = len(by_marks) > 1 or len(by_suffix) > 1
            yield FileSet(folders, marks, mixed, files)


def without_split(key: str, split: str | None) -> str:
    """Remove a last word that only repeats the split of the folder ("21_training")."""
    head, word = split_last(key)
    return head if head and split is not None and SPLIT_NAMES.get(word.lower()) == split else key


def split_last(key: str) -> tuple[str, str]:
    """Return a name without its last word, and that word; a single word leaves an empty name."""
    places = list(SEPARATOR.finditer(key))
    return (key[: places[-1].start()], key[places[-1].end() :]) if places else ("", key)


def attach_endings(sets: Sequence[FileSet], *, unnamed: bool = False) -> list[FileSet]:
    """Key maps whose names extend the names of images by the names of those images.

    "x_mask_1" is another map of "x", and "x_cat" in a folder of maps is its map of cats. Files with
    the same ending become a set of their own; numbers are not endings but count siblings.

    Args:
        sets: All file sets.
        unnamed: Whether an ending that half of the images have marks maps even if it is no known
            word.
    """
    counts = Counter(key for each in sets for key in each.files)
    done: list[FileSet] = []
    for each in sets:
        groups: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for key in each.files:
            owner, ending = owner_of(key, counts) if counts[key] == 1 else ("", "")
            words = [word for word in ending.split("_") if word and not word.isdecimal()]
            is_map = each.role == "map" or bool(MAP_WORDS & {word.lower() for word in words})
            numbered = not words and owner in each.files  # "x_2" beside "x": another image's map
            if owner and not numbered and (is_map or (unnamed and words)):
                groups[" ".join(filter(None, (*words, each.marks)))][owner].append(key)
        if unnamed:
            images = len({owner for files in groups.values() for owner in files})
            groups = {e: files for e, files in groups.items() if len(files) >= COVERED * images}
        assigned = {key for files in groups.values() for keys in files.values() for key in keys}
        rest = {key: path for key, path in each.files.items() if key not in assigned}
        own = replace(each, files=rest, mixed=each.mixed or bool(groups))
        for ending, files in groups.items():
            known = own if ending == own.marks and own.role == "map" else None
            made = ended_set(each, ending, files, known)
            own = replace(own, files={}) if known is not None else own
            done.append(made)
        done += [own] if own.files else []
    return joined_sets(done)


def ended_set(
    source: FileSet, ending: str, groups: Mapping[str, Sequence[str]], known: FileSet | None
) -> FileSet:
    """Return a file set of one ending, keyed by the names of the images.

    Args:
        source: File set that holds the files.
        ending: Ending that the file names share.
        groups: Keys of the files by the key of their image.
        known: File set of the same kind whose keys already are those of images; None for none.
    """
    files = {} if known is None else dict(known.files)
    siblings: dict[str, tuple[Path, ...]] = {}
    for owner, keys in groups.items():
        paths = tuple(source.files[key] for key in keys)
        siblings[owner] = paths if owner in files else paths[1:]
        files.setdefault(owner, paths[0])
    return replace(source, marks=ending, mixed=True, files=files, siblings=siblings)


def joined_sets(sets: Sequence[FileSet]) -> list[FileSet]:
    """Merge sets of one folder and one kind: "x_mask" and "x_mask_1"."""
    joined: dict[tuple[object, ...], FileSet] = {}
    for number, each in enumerate(sets):
        place = (each.folders, each.marks) if each.role == "map" else (number,)
        other = joined.get(place)
        if other is None or not (each.siblings or other.siblings):
            joined[place if other is None else (number,)] = each
            continue
        first, later = (other, each) if each.siblings else (each, other)
        siblings = dict(later.siblings)
        for key, path in later.files.items():
            if key in first.files:
                siblings[key] = (path, *siblings.get(key, ()))
        files = {**later.files, **first.files}
        joined[place] = replace(first, files=files, siblings=siblings)
    return list(joined.values())


def owner_of(key: str, names: Mapping[str, int]) -> tuple[str, str]:
    """Return the longest other name that is a prefix of a name, and the rest of the name."""
    head = key
    while head := split_last(head)[0]:
        if head in names:
            return head, SEPARATOR.sub("_", key[len(head) :]).strip("_")
    return "", ""
