"""Pair images with label maps in any folder tree by the names that they share."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath

from unimask.datasets.interface import ALL_IMAGES
from unimask.datasets.maps.file_sets import FileSet, attach_endings, file_sets, told_apart
from unimask.datasets.maps.key_forms import ignore_case, number_keys, sets_for, without_channel
from unimask.datasets.maps.mask_folders import folders_by_image, masks_of_one
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.words import is_painted, key_of
from unimask.datasets.packed import File, path_of
from unimask.datasets.splits import SPLIT_NAMES
from unimask.errors import DataError

SHARED = 0.5
"""Minimum share of the smaller of two sets that has partners in the other, if they belong
together."""

LISTS = (".", "ImageSets/Segmentation", "splits")
"""Folders that may hold the lists of a split's images."""

Looks = Callable[[Sequence[Path]], bool]
"""Function that returns whether all the given files look like label maps."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Images, the label map of each, and images of the same folders without a map."""

    images: list[File] = field(default_factory=list)
    maps: list[MapFile] = field(default_factory=list)
    unlabelled: list[File] = field(default_factory=list)

    @property
    def left_out(self) -> str:
        """Note on the images that have no map; empty if every image has one."""
        count = len(self.unlabelled)
        return f"; {count} images have no map: left out, {self.unlabelled[0]}" if count else ""

    def add(self, images: Mapping[str, Path], maps: Mapping[str, MapFile]) -> None:
        """Add images with the maps of the same key, in the order of the images' paths."""
        for key, path in sorted(images.items(), key=lambda item: item[1]):
            if key in maps:
                self.images.append(path)
                self.maps.append(maps[key])
            else:
                self.unlabelled.append(path)


@dataclass(frozen=True, slots=True)
class Match:
    """Images and the map sets that may belong to them.

    Attributes:
        photos: File set of the images.
        rivals: Map sets that each share the images' names, the most likely first.
        owners: Key of the image to which each map set belongs alone, if each holds all masks of one
            image; else empty.
    """

    photos: FileSet
    rivals: tuple[FileSet, ...]
    owners: tuple[str, ...] = ()

    @property
    def example(self) -> str:
        """Names of an image and of its first map, for messages."""
        key = next(iter(self.rivals[0].files))
        return f"{self.photos.files[key].name} and {self.rivals[0].files[key].name}"


MapsOf = Callable[[Match], Mapping[str, MapFile]]
"""Function that returns the map of each image by the image's key."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Images and maps of a folder, before one of several maps per image is selected."""

    folder: Path
    matches: tuple[Match, ...]
    notes: tuple[str, ...] = ()

    def pairs(self, maps_of: MapsOf) -> dict[str, Pairs]:
        """Pair images with maps, by split; a folder without splits has the split `ALL_IMAGES`."""
        splits: dict[str, Pairs] = defaultdict(Pairs)
        for match in self.matches:
            splits[match.photos.split or ALL_IMAGES].add(match.photos.files, maps_of(match))
        if splits.keys() == {ALL_IMAGES}:
            return by_lists(self.folder, splits[ALL_IMAGES])
        if ALL_IMAGES in splits:
            rest = splits.pop(ALL_IMAGES)  # outside the folders of splits: training images
            splits.setdefault("train", rest)
        return dict(splits)


def find_layout(folder: Path, look: Looks) -> Layout:
    """Find images with label maps below a folder.

    Names decide which files are images and which are maps; if they do not, file contents do. The
    maps of an image are those of the nearest folder, maps of numbers before painted ones; several
    such map sets are rivals. If no names match, images and maps are paired by running numbers.
    """
    images, maps = ignore_case(*by_role(told_apart(list(file_sets(folder))), look))
    if matches := match_folders(images, maps):
        return Layout(folder, tuple(matches))
    if matches := match_names(images, maps):
        return Layout(folder, tuple(matches))
    if matches := match_names(without_channel(images), maps):
        return Layout(folder, tuple(matches))
    matches = match_numbers(images, maps)
    notes = [
        f"images and maps are paired by the numbers in their names, such as {match.example}"
        for match in matches[:1]
    ]
    return Layout(folder, tuple(matches), tuple(notes))


def match_folders(images: Sequence[FileSet], maps: Sequence[FileSet]) -> list[Match]:
    """Return the matches of images and folders of masks with the names of the images.

    Maps with the names of the images take precedence ("masks/p00.png" beside "masks/p00/0.png").
    """
    found = folders_by_image(images, maps)
    owned = {each.folders for _, masks in found for each in masks.values()}
    if not found or match_names(images, [each for each in maps if each.folders not in owned]):
        return []
    return [Match(photos, tuple(masks.values()), tuple(masks)) for photos, masks in found]


def match_names(images: Sequence[FileSet], maps: Sequence[FileSet]) -> list[Match]:
    """Return the matches of images and map sets whose keys agree."""
    by_folder: dict[tuple[str, ...], list[FileSet]] = defaultdict(list)
    by_key: dict[str, list[FileSet]] = defaultdict(list)
    for labels in maps:
        for place in {labels.folders, labels.folders[:-1], labels.folders[:-2]}:
            by_folder[place].append(labels)
        for key in labels.files:
            by_key[key].append(labels)
    owners = {photos.folders for photos in images}
    matches: list[Match] = []
    for photos in images:
        near = [*by_folder[photos.folders], *by_folder[photos.folders[:-1]]]
        near = list({id(labels): labels for labels in near}.values())
        if any(labels.folders == photos.folders for labels in near):  # exclude other images' maps
            near = [e for e in near if e.folders == photos.folders or e.folders not in owners]
        rivals = rivals_for(photos, near) or rivals_for(photos, sharing(photos, by_key))
        if rivals:
            matches.append(Match(photos, tuple(rivals)))
        elif len(photos.files) == 1 and (masks := masks_of_one(photos, near)) is not None:
            matches.append(Match(photos, (masks,), tuple(photos.files)))
    matched = {id(match.rivals[0]) for match in matches if match.photos.role == "image"}
    return [  # files beside the images with the same maps ("depth/") are not images
        match
        for match in matches
        if match.photos.role == "image" or id(match.rivals[0]) not in matched
    ]


def match_numbers(images: Sequence[FileSet], maps: Sequence[FileSet]) -> list[Match]:
    """Return the matches of images and map sets by running number ("t012" and "man_seg012")."""
    photos = number_keys(images)
    labels = number_keys(each for each in maps if each.role == "map")
    alone = len(images) == 1
    candidates = [(each, rivals_for(each, sets_for(each, labels, alone=alone))) for each in photos]
    return [Match(each, tuple(rivals)) for each, rivals in candidates if rivals]


def by_lists(folder: Path, pairs: Pairs) -> dict[str, Pairs]:
    """Divide pairs into splits by lists of names such as `ImageSets/Segmentation/val.txt`.

    Without a list for train, train is every pair that no list names. Without lists, all pairs are
    one split.
    """
    places = [folder / name for name in LISTS if (folder / name).is_dir()]
    files = [path for place in places for path in place.glob("*.txt") if path.stem in SPLIT_NAMES]
    keys = {SPLIT_NAMES[path.stem]: listed(path) for path in files}
    splits: dict[str, Pairs] = defaultdict(Pairs)
    for image, labels in zip(pairs.images, pairs.maps, strict=True):
        key = key_of(path_of(image).stem)[0]
        rest = [] if "train" in keys else ["train"]
        for split in [split for split in keys if key in keys[split]] or rest:
            splits[split].images.append(image)
            splits[split].maps.append(labels)
    return dict(splits) if keys and len(splits) > 1 else {ALL_IMAGES: pairs}


def listed(path: Path) -> set[str]:
    """Return the keys in a list: the first word of each line without its folder and suffix.

    Raises:
        DataError: The list cannot be read.
    """
    try:
        lines = path.read_text(errors="replace").split("\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): mend it") from error
    return {key_of(PurePath(line.split()[0]).stem)[0] for line in lines if line.strip()}


def sharing(photos: FileSet, named: Mapping[str, list[FileSet]]) -> list[FileSet]:
    """Return the map sets, in any folder, that share a key with some of the images."""
    map_sets = {id(maps): maps for key in photos.files for maps in named.get(key, ())}
    return list(map_sets.values())


def by_role(sets: list[FileSet], look: Looks) -> tuple[list[FileSet], list[FileSet]]:
    """Divide file sets into images and maps.

    If names identify maps, all other sets are images; if not, file contents identify the maps.
    """
    named = attach_endings(sets)
    if any(each.role == "map" for each in named):
        return parted(named, [each for each in named if each.role == "map"])
    unclear = [each for each in sets if each.role is None or each.mixed]
    maps = [each for each in unclear if look(some_of(each))]
    if not maps:
        sets = attach_endings(sets, unnamed=True)
        maps = [each for each in sets if each.mixed and each.marks and look(some_of(each))]
    return parted(sets, maps)


def parted(sets: list[FileSet], maps: list[FileSet]) -> tuple[list[FileSet], list[FileSet]]:
    """Return the file sets that are not among the maps, and the maps."""
    map_ids = {id(each) for each in maps}
    return [each for each in sets if id(each) not in map_ids], maps


def some_of(each: FileSet, count: int = 3) -> list[Path]:
    """Return a few files, evenly spaced over the set."""
    files = list(each.files.values())
    return files[:: -(-len(files) // count)]


def rivals_for(photos: FileSet, candidates: Sequence[FileSet]) -> list[FileSet]:
    """Return the map sets for images of the same split in the nearest folder, most likely first."""
    fitting = [
        labels
        for labels in candidates
        if {photos.split, labels.split} in ({photos.split}, {photos.split, None})
        and shared(photos, labels) >= SHARED
    ]
    fitting.sort(key=partial(order, photos))
    plain = [labels for labels in fitting if not is_painted((*labels.folders, labels.marks))]
    likely = plain or fitting[:1]
    nearest = max((common(photos, labels) for labels in likely), default=0)
    least = min(nearest, max(0, len(photos.folders) - 1))
    return [labels for labels in likely if common(photos, labels) >= least]


def common(photos: FileSet, labels: FileSet) -> int:
    """Count the folders that the paths of maps and images share."""
    return sum(name in photos.folders for name in labels.folders)


def shared(photos: FileSet, labels: FileSet) -> float:
    """Return the share of files in the smaller of two sets that have a partner in the other."""
    both = sum(key in labels.files for key in photos.files)
    return both / min(len(photos.files), len(labels.files))


def order(photos: FileSet, labels: FileSet) -> tuple[int, bool, int, str]:
    """Return the sort key of maps for images: nearest folder, not painted, most partners, name."""
    distance = len(photos.folders) + len(labels.folders) - 2 * common(photos, labels)
    partners = sum(key in labels.files for key in photos.files)
    names = (*labels.folders, labels.marks)
    return distance, is_painted(names), -partners, "/".join(names)
