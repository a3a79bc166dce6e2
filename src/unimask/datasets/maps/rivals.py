"""Select which of several maps of one image are read: one, all as classes, or the user's choice.

Map sets are masks of one class each if their folders or endings are named after classes, all masks
are black and white, and most do not overlap. Maps that equal others, or that are constant over all
images while others vary (a field of view), are dropped with a note. Any other map sets are rivals,
and the option `--masks` decides.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped

from unimask.datasets.maps.file_sets import FileSet
from unimask.datasets.maps.key_forms import starts_with_folder
from unimask.datasets.maps.map_file import read_map_file
from unimask.datasets.maps.mask_folders import classes_in
from unimask.datasets.maps.mask_set import MapFile, MaskSet, as_mask
from unimask.datasets.maps.partners import Layout, Match
from unimask.datasets.maps.words import IMAGE_WORDS, class_from_name
from unimask.errors import DataError

SAMPLED = 16
"""Number of images whose maps are compared."""

ALIKE = 0.5
"""Minimum intersection over union of two masks that show the same object."""

Images = list[dict[str, Path]]
"""Maps of each sampled image, by the name of their set."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """Selection of the map sets that are read.

    Attributes:
        names: Names of the sets that are read; several sets are classes.
        classes: Class name of each set; empty for one set.
        joined: Whether images have several masks of one set.
        separate: Whether each mask of an image is an object of its own.
        explicit: Whether the user named the sets.
        notes: Notes for the user.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...] = ()
    joined: bool = False
    separate: bool = False
    explicit: bool = False
    notes: tuple[str, ...] = field(default=())

    def maps_of(self, match: Match) -> Mapping[str, MapFile]:
        """Return the map of each image by the image's key."""
        if match.owners:
            owned = zip(match.owners, match.map_sets, strict=True)
            return {key: self.mask_set(self.numbered(masks)) for key, masks in owned}
        sets = dict(zip(set_names(match), match.map_sets, strict=True))
        chosen = [(number, sets[name]) for number, name in enumerate(self.names, 1) if name in sets]
        if not chosen and len(match.map_sets) == 1 and not (self.explicit or self.classes):
            chosen = [(1, match.map_sets[0])]
        if not self.joined and not self.classes:
            return chosen[0][1].files if chosen else {}
        parts: dict[str, list[tuple[int, Path]]] = {}
        for number, each in chosen:
            for key in each.files:
                parts.setdefault(key, []).extend((number, path) for path in files_of(each, key))
        return {key: self.mask_set(files) for key, files in parts.items()}

    def numbered(self, masks: FileSet) -> Iterator[tuple[int, Path]]:
        """Yield the masks of one image, each with the number of its class."""
        for path in masks.files.values():
            yield self.classes.index(class_from_name(path.stem)) + 1 if self.classes else 1, path

    def mask_set(self, parts: Iterable[tuple[int, Path]]) -> MaskSet:
        """Number the masks of one image: by object if they are separate objects, else by set."""
        counted = enumerate(parts, start=1)
        return MaskSet(tuple((i if self.separate else n, path) for i, (n, path) in counted))


def files_of(labels: FileSet, key: str) -> tuple[Path, ...]:
    """Return the masks of one image in a map set."""
    return labels.files[key], *labels.siblings.get(key, ())


def set_names(match: Match) -> list[str]:
    """Return the shortest names that distinguish the map sets of some images."""
    sets = match.map_sets
    shared = set(match.images.folders)
    folders = [[n for n in e.folders[e.num_common_folders :] if n not in shared] for e in sets]
    plain = ["/".join(names) for names in folders]
    last = match.images.folders[-1:]  # "SEG" of "01_GT/SEG" beside images in "01"
    short = ["/".join(n for n in names if not starts_with_folder(n, last)) for names in folders]
    marked = [
        "/".join(filter(None, (name, ending_of(each))))
        for name, each in zip(plain, sets, strict=True)
    ]
    ended = [
        f"{name}*{next(iter(each.files.values())).suffix}"
        for name, each in zip(marked, sets, strict=True)
    ]
    unique = next(
        (n for n in (short, plain, marked, ended) if len(set(n)) == len(n) and all(n)), ended
    )
    return unique


def ending_of(each: FileSet) -> str:
    """Return the ending of a set's file names, without words that only mean "image"."""
    words = each.affixes.split()
    return "_".join([word for word in words if word not in IMAGE_WORDS] or words)


def resolve(layout: Layout, masks: str | None, format: str | None) -> Resolution:
    """Select which of several maps of one image are read.

    Args:
        layout: Images and their maps.
        masks: Names of map sets given by the user, separated by commas; None to decide
            automatically.
        format: Format given by the user; None to decide automatically.

    Raises:
        DataError: There are rivals, or no map set has the given name.
    """
    names = list(dict.fromkeys(name for match in layout.matches for name in set_names(match)))
    separate = format == "instance ids"
    if all(match.owners for match in layout.matches):
        return from_mask_folders(layout, format)
    if masks is not None:
        chosen = [find_name(part, names, layout.folder) for part in masks.split(",")]
        return replace(finished(layout, chosen, separate, ()), explicit=True)
    names = list(dict.fromkeys(n for m in layout.matches if m.map_sets[1:] for n in set_names(m)))
    if not names:
        return finished(layout, (), separate, ())
    images = sampled(layout)
    remaining, notes = without_constant(images, names)
    remaining, more = without_copies(images, remaining)
    notes += more
    voc = [name for name in remaining if "segmentationclass" in name.lower()]
    if len(voc) == 1 < len(remaining) and all("segmentation" in name.lower() for name in remaining):
        others = ", ".join(name for name in remaining if name not in voc)
        notes += [f"{others} is not read (--masks {others.split(', ')[0]} reads it instead)"]
        remaining = voc
    never = not any(len(image) > 1 for image in images) and not all(map(class_of, remaining))
    if len(remaining) > 1 and (never or not are_classes(images, remaining)):
        raise question(layout.folder, remaining, images)
    return finished(layout, remaining, separate, notes)


def from_mask_folders(layout: Layout, format: str | None) -> Resolution:
    """Return the selection for folders with all masks of one image: an object or a class each.

    Raises:
        DataError: Masks are named after classes and numbered.
    """
    folders = [masks for match in layout.matches for masks in match.map_sets]
    names = tuple(dict.fromkeys(masks.folders[-1] for masks in folders))
    classes = classes_in([masks.files for masks in folders]) if format is None else ()
    if classes:
        note = "each file in an image's folder of masks is one class; the smaller one is in front"
        return Resolution(names, classes, notes=(note,))
    note = "each file in an image's folder of masks is one object"
    return Resolution(names, separate=format != "semantic maps", notes=(note,))


def finished(
    layout: Layout, names: Sequence[str], separate: bool, notes: Sequence[str]
) -> Resolution:
    """Return the selection for these map sets: one set, or several as classes.

    Raises:
        DataError: An image has several masks in one set that show the same object.
    """
    sets = [
        each
        for match in layout.matches
        for each, name in zip(match.map_sets, set_names(match), strict=True)
        if name in names or len(match.map_sets) == 1
    ]
    several = [(each, key) for each in sets for key in each.siblings if each.siblings[key]]
    classes = tuple(class_of(name) or name for name in names) if len(names) > 1 else ()
    all_notes = [*notes]
    if classes:
        all_notes.append("where masks of classes overlap, the smaller one is in front")
    if several:
        each, key = several[0]
        check_siblings(several)
        how = "read as objects" if separate else "joined into one"
        all_notes.append(
            f"{len(several)} images have several masks, {how}: {each.siblings[key][0].name}"
        )
    counts = Counter(classes)
    classes = tuple(n if counts[n] > 1 else c for n, c in zip(names, classes, strict=False))
    joined = bool(several)
    return Resolution(tuple(names), classes, joined, separate and joined, notes=tuple(all_notes))


def class_of(name: str) -> str | None:
    """Return the class that a map set is named after; None if its name is not that of a class."""
    parts = name.split("*")[0].split("/")
    return next((found for part in parts if (found := class_from_name(part))), None)


def check_siblings(several: Sequence[tuple[FileSet, str]]) -> None:
    """Raise if masks of one image show the same object, as those of several annotators do.

    Raises:
        DataError: Most of these masks overlap strongly.
    """
    sample = several[:: -(-len(several) // SAMPLED)]
    values = [
        iou(*pair)
        for each, key in sample
        for pair in combinations([read_or_none(path) for path in files_of(each, key)[:3]], 2)
    ]
    if np.median(values) > ALIKE:
        files = files_of(*several[0])
        raise DataError(
            f"{files[0]} and {files[1].name} are masks of one image that show the same, as those "
            "of several annotators do: keep one of them in the folder"
        )


def find_name(text: str, names: Sequence[str], folder: Path) -> str:
    """Return the name of the map set that the user means.

    Raises:
        DataError: No set has this name, or several do.
    """
    name_text = text.strip().strip("_-. /").lower()
    exact = [name for name in names if name.lower() == name_text]
    parts = [n for n in names if name_text in n.lower().replace("*", "/").split("/")]
    matching = exact or parts
    if len(matching) != 1:
        raise DataError(
            f"{folder} has no maps called {text.strip()!r}: give --masks (masks=) one of "
            f"{', '.join(names)}"
        )
    return matching[0]


def sampled(layout: Layout) -> Images:
    """Return the maps of some images; images with several maps take precedence."""
    images: Images = []
    for match in layout.matches:
        named = list(zip(set_names(match), match.map_sets, strict=True))
        for key in match.images.files:
            maps = {name: each.files[key] for name, each in named if key in each.files}
            images += [maps] if maps else []
    several = [maps for maps in images if len(maps) > 1] or images
    return several[:: -(-len(several) // SAMPLED)]


def pixels_or_none(path: Path) -> Shaped[np.ndarray, "h w ..."] | None:
    """Read a map; return None if it cannot be read."""
    try:
        return read_map_file(path).pixels
    except DataError:
        return None


def read_or_none(path: Path) -> Bool[np.ndarray, "h w"] | None:
    """Read a black and white mask; return None for other maps."""
    pixels = pixels_or_none(path)
    try:
        return None if pixels is None else as_mask(pixels, path)
    except DataError:
        return None


def is_equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Return whether two maps were read and are equal."""
    return one is not None and other is not None and np.array_equal(one, other)


def without_constant(images: Images, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Drop map sets that are constant over all images while others vary; also return notes."""
    constant: list[str] = []
    for name in names:
        paths = [maps[name] for maps in images if name in maps]
        first = pixels_or_none(paths[0]) if len(paths) > 1 else None
        if first is not None and all(is_equal(first, pixels_or_none(path)) for path in paths[1:]):
            constant.append(name)
    remaining = [name for name in names if name not in constant]
    if not remaining:
        return list(names), []
    return remaining, [f"{name} is not read: it is the same for every image" for name in constant]


def without_copies(images: Images, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Drop map sets whose maps equal those of another set; also return notes."""
    remaining: list[str] = []
    notes: list[str] = []
    for name in names:
        for other in remaining:
            both = [maps for maps in images if name in maps and other in maps]
            if both and all(
                is_equal(pixels_or_none(maps[name]), pixels_or_none(maps[other])) for maps in both
            ):
                notes.append(f"{name} is not read: it equals {other}")
                break
        else:
            remaining.append(name)
    return remaining, notes


def are_classes(images: Images, names: Sequence[str]) -> bool:
    """Return whether map sets are masks of one class each, by their names, values and overlaps."""
    classes = [class_of(name) for name in names]
    if None in classes or len(set(classes)) < len(classes):
        return False
    overlaps = []
    for maps in images:
        masks = [read_or_none(path) for name, path in maps.items() if name in names]
        if any(mask is None for mask in masks):
            return False
        overlaps += [iou(one, other) for one, other in combinations(masks, 2)]
    overlaps = [value for value in overlaps if not np.isnan(value)]
    return not overlaps or float(np.median(overlaps)) <= ALIKE


def iou(one: Bool[np.ndarray, "h w"] | None, other: Bool[np.ndarray, "h w"] | None) -> float:
    """Compute the IoU of two masks; NaN if one is empty or their sizes differ."""
    if one is None or other is None or one.shape != other.shape or not (one.any() and other.any()):
        return float("nan")
    return float((one & other).sum() / (one | other).sum())


def question(folder: Path, names: Sequence[str], images: Images) -> DataError:
    """Build the error that lists the rivals and the option that decides."""
    example = next(iter(images[0].values()))
    listed = ", ".join(names)
    classes = ",".join(names[:2])
    return DataError(
        f"{folder} has several maps for one image, such as {example.name}: {listed}; choose one by "
        f"--masks {names[0]} (masks=), or read masks of one class each by --masks {classes}"
    )
