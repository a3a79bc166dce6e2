"""Pair images with label maps in any folder tree by the names that they share."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath

from unimask.datasets.interface import ALL_IMAGES
from unimask.datasets.maps.file_sets import (
    FileSet,
    find_file_sets,
    key_by_image_names,
    set_common_folders,
)
from unimask.datasets.maps.folder_words import is_painted, parse_key
from unimask.datasets.maps.key_forms import (
    lower_case_keys,
    numbered_sets,
    remove_channel,
    sets_with_numbers,
)
from unimask.datasets.maps.mask_folders import find_mask_folders, find_single_image_masks
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.packed import File, file_path
from unimask.datasets.splits import SPLIT_NAMES
from unimask.errors import DataError

MIN_PARTNER_SHARE = 0.5
"""Minimum share of the smaller of two sets that has partners in the other, if they belong
together."""

LIST_FOLDERS = (".", "ImageSets/Segmentation", "splits")
"""Folders that may hold the lists of a split's images."""

MapDetector = Callable[[Sequence[Path]], bool]
"""Function that returns whether all the given files look like label maps."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Images, the label map of each, and images of the same folders without a map."""

    images: list[File] = field(default_factory=list)
    maps: list[MapFile] = field(default_factory=list)
    unlabelled: list[File] = field(default_factory=list)

    @property
    def missing_maps_note(self) -> str:
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
        images: File set of the images.
        map_sets: Map sets that each share the images' names, the most likely first.
        owners: Key of the image to which each map set belongs alone, if each holds all masks of one
            image; else empty.
    """

    images: FileSet
    map_sets: tuple[FileSet, ...]
    owners: tuple[str, ...] = ()

    @property
    def example(self) -> str:
        """Names of an image and of its first map, for messages."""
        key = next(iter(self.map_sets[0].files))
        return f"{self.images.files[key].name} and {self.map_sets[0].files[key].name}"


MapSelector = Callable[[Match], Mapping[str, MapFile]]
"""Function that returns the map of each image by the image's key."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Images and maps of a folder, before one of several maps per image is selected."""

    folder: Path
    matches: tuple[Match, ...]
    notes: tuple[str, ...] = ()

    def pair_by_split(self, select_maps: MapSelector) -> dict[str, Pairs]:
        """Pair images with maps, by split; a folder without splits has the split `ALL_IMAGES`."""
        splits: dict[str, Pairs] = defaultdict(Pairs)
        for match in self.matches:
            splits[match.images.split or ALL_IMAGES].add(match.images.files, select_maps(match))
        if splits.keys() == {ALL_IMAGES}:
            return split_by_lists(self.folder, splits[ALL_IMAGES])
        if ALL_IMAGES in splits:
            rest = splits.pop(ALL_IMAGES)  # outside the folders of splits: training images
            splits.setdefault("train", rest)
        return dict(splits)


def find_layout(folder: Path, are_maps: MapDetector) -> Layout:
    """Find images with label maps below a folder.

    Names decide which files are images and which are maps; if they do not, file contents do. The
    maps of an image are those of the nearest folder, maps of numbers before painted ones; several
    such map sets are rivals. If no names match, images and maps are paired by running numbers.
    """
    images, maps = lower_case_keys(
        *divide_by_role(set_common_folders(list(find_file_sets(folder))), are_maps)
    )
    if matches := match_folders(images, maps):
        return Layout(folder, tuple(matches))
    if matches := match_names(images, maps):
        return Layout(folder, tuple(matches))
    if matches := match_names(remove_channel(images), maps):
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
    matches = find_mask_folders(images, maps)
    owned = {each.folders for _, masks in matches for each in masks.values()}
    if not matches or match_names(images, [each for each in maps if each.folders not in owned]):
        return []
    return [Match(image_set, tuple(masks.values()), tuple(masks)) for image_set, masks in matches]


def match_names(images: Sequence[FileSet], maps: Sequence[FileSet]) -> list[Match]:
    """Return the matches of images and map sets whose keys agree."""
    by_folder: dict[tuple[str, ...], list[FileSet]] = defaultdict(list)
    by_key: dict[str, list[FileSet]] = defaultdict(list)
    for map_set in maps:
        for place in {map_set.folders, map_set.folders[:-1], map_set.folders[:-2]}:
            by_folder[place].append(map_set)
        for key in map_set.files:
            by_key[key].append(map_set)
    image_folders = {image_set.folders for image_set in images}
    matches: list[Match] = []
    for image_set in images:
        nearby = [*by_folder[image_set.folders], *by_folder[image_set.folders[:-1]]]
        nearby = list({id(map_set): map_set for map_set in nearby}.values())
        if any(
            map_set.folders == image_set.folders for map_set in nearby
        ):  # exclude other images' maps
            nearby = [
                e
                for e in nearby
                if e.folders == image_set.folders or e.folders not in image_folders
            ]
        map_sets = find_map_sets(image_set, nearby) or find_map_sets(
            image_set, sets_sharing_keys(image_set, by_key)
        )
        if map_sets:
            matches.append(Match(image_set, tuple(map_sets)))
        elif (
            len(image_set.files) == 1
            and (masks := find_single_image_masks(image_set, nearby)) is not None
        ):
            matches.append(Match(image_set, (masks,), tuple(image_set.files)))
    matched = {id(match.map_sets[0]) for match in matches if match.images.role == "image"}
    return [  # files beside the images with the same maps ("depth/") are not images
        match
        for match in matches
        if match.images.role == "image" or id(match.map_sets[0]) not in matched
    ]


def match_numbers(images: Sequence[FileSet], maps: Sequence[FileSet]) -> list[Match]:
    """Return the matches of images and map sets by running number ("t012" and "man_seg012")."""
    numbered_images = numbered_sets(images)
    numbered_maps = numbered_sets(each for each in maps if each.role == "map")
    is_only_set = len(images) == 1
    candidates = [
        (each, find_map_sets(each, sets_with_numbers(each, numbered_maps, is_only_set=is_only_set)))
        for each in numbered_images
    ]
    return [Match(each, tuple(rivals)) for each, rivals in candidates if rivals]


def split_by_lists(folder: Path, pairs: Pairs) -> dict[str, Pairs]:
    """Divide pairs into splits by lists of names such as `ImageSets/Segmentation/val.txt`.

    Without a list for train, train is every pair that no list names. Without lists, all pairs are
    one split.
    """
    places = [folder / name for name in LIST_FOLDERS if (folder / name).is_dir()]
    files = [path for place in places for path in place.glob("*.txt") if path.stem in SPLIT_NAMES]
    keys = {SPLIT_NAMES[path.stem]: read_list(path) for path in files}
    splits: dict[str, Pairs] = defaultdict(Pairs)
    for image, labels in zip(pairs.images, pairs.maps, strict=True):
        key = parse_key(file_path(image).stem)[0]
        rest = [] if "train" in keys else ["train"]
        for split in [split for split in keys if key in keys[split]] or rest:
            splits[split].images.append(image)
            splits[split].maps.append(labels)
    return dict(splits) if keys and len(splits) > 1 else {ALL_IMAGES: pairs}


def read_list(path: Path) -> set[str]:
    """Return the keys in a list: the first word of each line without its folder and suffix.

    Raises:
        DataError: The list cannot be read.
    """
    try:
        lines = path.read_text(errors="replace").split("\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the file") from error
    return {parse_key(PurePath(line.split()[0]).stem)[0] for line in lines if line.strip()}


def sets_sharing_keys(images: FileSet, by_key: Mapping[str, list[FileSet]]) -> list[FileSet]:
    """Return the map sets, in any folder, that share a key with some of the images."""
    map_sets = {id(maps): maps for key in images.files for maps in by_key.get(key, ())}
    return list(map_sets.values())


def divide_by_role(
    sets: list[FileSet], are_maps: MapDetector
) -> tuple[list[FileSet], list[FileSet]]:
    """Divide file sets into images and maps.

    If names identify maps, all other sets are images; if not, file contents identify the maps.
    """
    keyed = key_by_image_names(sets)
    if any(each.role == "map" for each in keyed):
        return split_off_maps(keyed, [each for each in keyed if each.role == "map"])
    undetermined = [each for each in sets if each.role is None or each.is_mixed]
    maps = [each for each in undetermined if are_maps(sample_files(each))]
    if not maps:
        sets = key_by_image_names(sets, any_ending=True)
        maps = [
            each for each in sets if each.is_mixed and each.affixes and are_maps(sample_files(each))
        ]
    return split_off_maps(sets, maps)


def split_off_maps(sets: list[FileSet], maps: list[FileSet]) -> tuple[list[FileSet], list[FileSet]]:
    """Return the file sets that are not among the maps, and the maps."""
    map_ids = {id(each) for each in maps}
    return [each for each in sets if id(each) not in map_ids], maps


def sample_files(each: FileSet, count: int = 3) -> list[Path]:
    """Return a few files, evenly spaced over the set."""
    files = list(each.files.values())
    return files[:: -(-len(files) // count)]


def find_map_sets(images: FileSet, candidates: Sequence[FileSet]) -> list[FileSet]:
    """Return the map sets for images of the same split in the nearest folder, most likely first."""
    candidate_sets = [
        map_set
        for map_set in candidates
        if {images.split, map_set.split} in ({images.split}, {images.split, None})
        and partner_share(images, map_set) >= MIN_PARTNER_SHARE
    ]
    candidate_sets.sort(key=partial(map_set_order, images))
    unpainted = [
        map_set for map_set in candidate_sets if not is_painted((*map_set.folders, map_set.affixes))
    ]
    likely_sets = unpainted or candidate_sets[:1]
    nearest = max((count_shared_folders(images, map_set) for map_set in likely_sets), default=0)
    min_shared = min(nearest, max(0, len(images.folders) - 1))
    return [
        map_set for map_set in likely_sets if count_shared_folders(images, map_set) >= min_shared
    ]


def count_shared_folders(images: FileSet, maps: FileSet) -> int:
    """Count the folders that the paths of maps and images share."""
    return sum(name in images.folders for name in maps.folders)


def partner_share(images: FileSet, maps: FileSet) -> float:
    """Return the share of files in the smaller of two sets that have a partner in the other."""
    num_shared = sum(key in maps.files for key in images.files)
    return num_shared / min(len(images.files), len(maps.files))


def map_set_order(images: FileSet, maps: FileSet) -> tuple[int, bool, int, str]:
    """Return the sort key of maps for images: nearest folder, not painted, most partners, name."""
    distance = len(images.folders) + len(maps.folders) - 2 * count_shared_folders(images, maps)
    partners = sum(key in maps.files for key in images.files)
    names = (*maps.folders, maps.affixes)
    return distance, is_painted(names), -partners, "/".join(names)
