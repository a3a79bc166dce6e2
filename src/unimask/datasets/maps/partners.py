"""Pictures and their label maps in any tree of folders, found by the names that they share."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath

from unimask.datasets.found import WHOLE
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.words import Role, is_painted, key_of, role_of, split_of
from unimask.datasets.packed import File, path_of
from unimask.datasets.splits import SPLITS
from unimask.errors import DataError
from unimask.processing.pictures import SUFFIXES

SHARED = 0.5
"""Two sets belong together if at least this share of one has a partner in the other."""

LISTS = (".", "ImageSets/Segmentation", "splits")
"""Where lists of a split's pictures may be."""

Looks = Callable[[Sequence[Path]], bool]
"""Says whether some files look like label maps."""


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files of one folder that are of one kind.

    Attributes:
        folders: Names of the folders they lie in, below the dataset's.
        marks: What their names say beside the name that partners share ("mask").
        mixed: Whether the folder holds files of other kinds too.
        files: By the name that partners share.
        outer: How many of the folders all files of the dataset lie in: they tell no role.
    """

    folders: tuple[str, ...]
    marks: str
    mixed: bool
    files: Mapping[str, Path]
    outer: int = 0

    @property
    def role(self) -> Role | None:
        """What names say that the files are.

        Marks tell the files of one folder apart; else the folder knows better, where "image_1.png"
        is the mask of "image_1.jpg".
        """
        folders, marks = self.folders[self.outer :], (self.marks,)
        return role_of(folders + marks if self.mixed else marks + folders)

    @property
    def split(self) -> str | None:
        """What names of folders say of the split."""
        return split_of(self.folders)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pictures, the label map of each, and pictures beside them that have none."""

    pictures: list[File] = field(default_factory=list)
    maps: list[MapFile] = field(default_factory=list)
    unlabelled: list[File] = field(default_factory=list)

    @property
    def left_out(self) -> str:
        """Say which pictures have no map; empty if all have one."""
        count = len(self.unlabelled)
        return f"; {count} pictures have no map: left out, {self.unlabelled[0]}" if count else ""

    def add(self, pictures: Mapping[str, Path], maps: Mapping[str, Path]) -> None:
        """Put pictures beside the maps of the same key, in the order of their names."""
        for key, path in sorted(pictures.items(), key=lambda item: item[1]):
            if key in maps:
                self.pictures.append(path)
                self.maps.append(maps[key])
            else:
                self.unlabelled.append(path)


def find_pairs(folder: Path, look: Looks) -> dict[str, Pairs]:
    """Give the pictures with label maps below a folder, by split; `WHOLE` where it has none.

    Names decide what is a picture and what a map, else a look at some files. Where several sets
    of maps share a picture's name, the nearest folder's are taken, and numbers before what is
    painted.
    """
    pictures, maps = by_role(told_apart(list(file_sets(folder))), look)
    beside: dict[tuple[str, ...], list[FileSet]] = defaultdict(list)
    named: dict[str, list[FileSet]] = defaultdict(list)
    for labels in maps:
        for place in {labels.folders, labels.folders[:-1]}:
            beside[place].append(labels)
        for key in labels.files:
            named[key].append(labels)
    found: list[tuple[FileSet, FileSet]] = []
    for photos in pictures:
        near = beside[photos.folders] + beside[photos.folders[:-1]]
        labels = best_partner(photos, near) or best_partner(photos, sharing(photos, named))
        if labels is not None:
            found.append((photos, labels))
    sure = {id(labels) for photos, labels in found if photos.role == "picture"}
    splits: dict[str, Pairs] = defaultdict(Pairs)
    for photos, labels in found:
        if photos.role == "picture" or id(labels) not in sure:  # "depth/" beside "images/" is none
            splits[photos.split or WHOLE].add(photos.files, labels.files)
    if splits.keys() == {WHOLE}:
        return by_lists(folder, splits[WHOLE])
    if WHOLE in splits:
        rest = splits.pop(WHOLE)  # folders of another name are reached by that name
        splits.setdefault("train", rest)
    return dict(splits)


def by_lists(folder: Path, pairs: Pairs) -> dict[str, Pairs]:
    """Part pairs by lists of names ("val.txt"), as `ImageSets/Segmentation/` has them, or nothing.

    Where no list is called train, that is what no other list has.
    """
    places = [folder / name for name in LISTS if (folder / name).is_dir()]
    files = [path for place in places for path in place.glob("*.txt") if path.stem in SPLITS]
    keys = {SPLITS[path.stem]: listed(path) for path in files}
    splits: dict[str, Pairs] = defaultdict(Pairs)
    for picture, labels in zip(pairs.pictures, pairs.maps, strict=True):
        key = key_of(path_of(picture).stem)[0]
        rest = [] if "train" in keys else ["train"]
        for split in [split for split in keys if key in keys[split]] or rest:
            splits[split].pictures.append(picture)
            splits[split].maps.append(labels)
    return dict(splits) if keys and len(splits) > 1 else {WHOLE: pairs}


def listed(path: Path) -> set[str]:
    """Give the names that a list holds: the first word of each line, without folder and suffix."""
    try:
        lines = path.read_text(errors="replace").split("\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): mend it") from error
    return {key_of(PurePath(line.split()[0]).stem)[0] for line in lines if line.strip()}


def file_sets(folder: Path) -> Iterator[FileSet]:
    """Give all pictures and maps below a folder, those of one folder and kind together."""
    seen: set[str] = set()
    for path, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        inner[:] = [] if real in seen else sorted(n for n in inner if not n.startswith("."))
        names = [n for n in names if os.path.splitext(n)[1].lower() in SUFFIXES and n[0] != "."]
        if real in seen or not names:
            continue
        seen.add(real)
        yield from sets_of(Path(path), Path(path).relative_to(folder).parts, sorted(names))


def told_apart(sets: list[FileSet]) -> list[FileSet]:
    """Count the outer folders that all files lie in."""
    columns = list(zip(*(each.folders for each in sets), strict=False))
    outer = next((i for i, names in enumerate(columns) if len(set(names)) > 1), 0)
    return [replace(each, outer=outer) for each in sets]


def sharing(photos: FileSet, named: Mapping[str, list[FileSet]]) -> list[FileSet]:
    """Give the maps that share a name with some of the pictures, wherever they lie."""
    found = {id(maps): maps for key in photos.files for maps in named.get(key, ())}
    return list(found.values())


def sets_of(path: Path, folders: tuple[str, ...], names: list[str]) -> Iterator[FileSet]:
    """Part the files of one folder by their marks and, where names repeat, by their suffix."""
    by_marks: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in names:
        key, marks = key_of(os.path.splitext(name)[0])
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


def by_role(sets: list[FileSet], look: Looks) -> tuple[list[FileSet], list[FileSet]]:
    """Say which sets are pictures and which are maps.

    Where names tell maps, the rest are pictures; where they tell none, a look at files does.
    """
    if any(each.role == "map" for each in sets):
        maps = [each for each in sets if each.role == "map"]
    else:
        unclear = [each for each in sets if each.role is None or each.mixed]
        maps = [each for each in unclear if look(some_of(each))]
    chosen = {id(each) for each in maps}
    return [each for each in sets if id(each) not in chosen], maps


def some_of(each: FileSet, count: int = 3) -> list[Path]:
    """Give a few files, spread over the set."""
    files = list(each.files.values())
    return files[:: -(-len(files) // count)]


def best_partner(photos: FileSet, candidates: Sequence[FileSet]) -> FileSet | None:
    """Give the maps of some pictures: of the same split, in the nearest folder."""
    fitting = [
        labels
        for labels in candidates
        if {photos.split, labels.split} in ({photos.split}, {photos.split, None})
        and shared(photos, labels) >= SHARED
    ]
    return min(fitting, key=partial(order, photos), default=None)


def shared(photos: FileSet, labels: FileSet) -> float:
    """Give the share of files that have a partner, in the smaller of two sets."""
    both = sum(key in labels.files for key in photos.files)
    return both / min(len(photos.files), len(labels.files))


def order(photos: FileSet, labels: FileSet) -> tuple[int, bool, int, str]:
    """Rank maps for some pictures: nearest folder, not painted, most partners, then by name."""
    common = sum(name in photos.folders for name in labels.folders)
    distance = len(photos.folders) + len(labels.folders) - 2 * common
    partners = sum(key in labels.files for key in photos.files)
    names = (*labels.folders, labels.marks)
    return distance, is_painted(names), -partners, "/".join(names)
