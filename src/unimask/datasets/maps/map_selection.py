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
from unimask.datasets.maps.folder_words import IMAGE_WORDS, class_from_name
from unimask.datasets.maps.key_forms import starts_with_folder
from unimask.datasets.maps.map_file import read_map_file
from unimask.datasets.maps.mask_folders import classes_from_file_names
from unimask.datasets.maps.mask_set import MapFile, MaskSet, to_mask
from unimask.datasets.maps.partners import Layout, Match
from unimask.errors import DataError

MAX_COMPARED_IMAGES = 16
"""Number of images whose maps are compared."""

SAME_OBJECT_IOU = 0.5
"""Minimum intersection over union of two masks that show the same object."""

Images = list[dict[str, Path]]
"""Maps of each sampled image, by the name of their set."""


@dataclass(frozen=True, slots=True)
class MapSelection:
    """Selection of the map sets that are read.

    Attributes:
        names: Names of the sets that are read; several sets are classes.
        classes: Class name of each set; empty for one set.
        has_several_masks: Whether images have several masks of one set.
        masks_are_objects: Whether each mask of an image is an object of its own.
        is_user_choice: Whether the user named the sets.
        notes: Notes for the user.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...] = ()
    has_several_masks: bool = False
    masks_are_objects: bool = False
    is_user_choice: bool = False
    notes: tuple[str, ...] = field(default=())

    def select_maps(self, match: Match) -> Mapping[str, MapFile]:
        """Return the map of each image by the image's key."""
        if match.owners:
            owned = zip(match.owners, match.map_sets, strict=True)
            return {key: self.mask_set(self.number_masks(masks)) for key, masks in owned}
        sets = dict(zip(name_map_sets(match), match.map_sets, strict=True))
        selected = [
            (number, sets[name]) for number, name in enumerate(self.names, 1) if name in sets
        ]
        if not selected and len(match.map_sets) == 1 and not (self.is_user_choice or self.classes):
            selected = [(1, match.map_sets[0])]
        if not self.has_several_masks and not self.classes:
            return selected[0][1].files if selected else {}
        masks: dict[str, list[tuple[int, Path]]] = {}
        for number, map_set in selected:
            for key in map_set.files:
                masks.setdefault(key, []).extend(
                    (number, path) for path in list_masks(map_set, key)
                )
        return {key: self.mask_set(files) for key, files in masks.items()}

    def number_masks(self, masks: FileSet) -> Iterator[tuple[int, Path]]:
        """Yield the masks of one image, each with the number of its class."""
        for path in masks.files.values():
            yield self.classes.index(class_from_name(path.stem)) + 1 if self.classes else 1, path

    def mask_set(self, parts: Iterable[tuple[int, Path]]) -> MaskSet:
        """Number the masks of one image: by object if they are separate objects, else by set."""
        counted = enumerate(parts, start=1)
        return MaskSet(
            tuple((i if self.masks_are_objects else n, path) for i, (n, path) in counted)
        )


def list_masks(map_set: FileSet, key: str) -> tuple[Path, ...]:
    """Return the masks of one image in a map set."""
    return map_set.files[key], *map_set.siblings.get(key, ())


def name_map_sets(match: Match) -> list[str]:
    """Return the shortest names that distinguish the map sets of some images."""
    sets = match.map_sets
    shared = set(match.images.folders)
    folders = [[n for n in e.folders[e.num_common_folders :] if n not in shared] for e in sets]
    folder_names = ["/".join(names) for names in folders]
    image_folder = match.images.folders[-1:]  # "SEG" of "01_GT/SEG" beside images in "01"
    without_image_folder = [
        "/".join(n for n in names if not starts_with_folder(n, image_folder)) for names in folders
    ]
    with_ending = [
        "/".join(filter(None, (name, file_ending(each))))
        for name, each in zip(folder_names, sets, strict=True)
    ]
    with_suffix = [
        f"{name}*{next(iter(each.files.values())).suffix}"
        for name, each in zip(with_ending, sets, strict=True)
    ]
    unique = next(
        (
            n
            for n in (without_image_folder, folder_names, with_ending, with_suffix)
            if len(set(n)) == len(n) and all(n)
        ),
        with_suffix,
    )
    return unique


def file_ending(each: FileSet) -> str:
    """Return the ending of a set's file names, without words that only mean "image"."""
    words = each.affixes.split()
    return "_".join([word for word in words if word not in IMAGE_WORDS] or words)


def select_map_sets(layout: Layout, masks: str | None, format: str | None) -> MapSelection:
    """Select which of several maps of one image are read.

    Args:
        layout: Images and their maps.
        masks: Names of map sets given by the user, separated by commas; None to decide
            automatically.
        format: Format given by the user; None to decide automatically.

    Raises:
        DataError: There are rivals, or no map set has the given name.
    """
    names = list(dict.fromkeys(name for match in layout.matches for name in name_map_sets(match)))
    masks_are_objects = format == "instance ids"
    if all(match.owners for match in layout.matches):
        return from_mask_folders(layout, format)
    if masks is not None:
        selected = [find_set_name(part, names, layout.folder) for part in masks.split(",")]
        return replace(
            build_selection(layout, selected, masks_are_objects, ()), is_user_choice=True
        )
    names = list(
        dict.fromkeys(n for m in layout.matches if m.map_sets[1:] for n in name_map_sets(m))
    )
    if not names:
        return build_selection(layout, (), masks_are_objects, ())
    images = sample_images(layout)
    remaining, notes = drop_constant_sets(images, names)
    remaining, copy_notes = drop_copied_sets(images, remaining)
    notes += copy_notes
    class_maps = [name for name in remaining if "segmentationclass" in name.lower()]
    if len(class_maps) == 1 < len(remaining) and all(
        "segmentation" in name.lower() for name in remaining
    ):
        others = ", ".join(name for name in remaining if name not in class_maps)
        notes += [f"{others} is not read (--masks {others.split(', ')[0]} reads it instead)"]
        remaining = class_maps
    are_unrelated = not any(len(image) > 1 for image in images) and not all(
        map(class_from_set_name, remaining)
    )
    if len(remaining) > 1 and (are_unrelated or not are_class_masks(images, remaining)):
        raise ambiguous_maps_error(layout.folder, remaining, images)
    return build_selection(layout, remaining, masks_are_objects, notes)


def from_mask_folders(layout: Layout, format: str | None) -> MapSelection:
    """Return the selection for folders with all masks of one image: an object or a class each.

    Raises:
        DataError: Masks are named after classes and numbered.
    """
    folders = [masks for match in layout.matches for masks in match.map_sets]
    names = tuple(dict.fromkeys(masks.folders[-1] for masks in folders))
    classes = classes_from_file_names([masks.files for masks in folders]) if format is None else ()
    if classes:
        note = "each file in an image's folder of masks is one class; the smaller one is in front"
        return MapSelection(names, classes, notes=(note,))
    note = "each file in an image's folder of masks is one object"
    return MapSelection(names, masks_are_objects=format != "semantic maps", notes=(note,))


def build_selection(
    layout: Layout, names: Sequence[str], masks_are_objects: bool, notes: Sequence[str]
) -> MapSelection:
    """Return the selection for these map sets: one set, or several as classes.

    Raises:
        DataError: An image has several masks in one set that show the same object.
    """
    sets = [
        each
        for match in layout.matches
        for each, name in zip(match.map_sets, name_map_sets(match), strict=True)
        if name in names or len(match.map_sets) == 1
    ]
    multiple_masks = [(each, key) for each in sets for key in each.siblings if each.siblings[key]]
    classes = tuple(class_from_set_name(name) or name for name in names) if len(names) > 1 else ()
    all_notes = [*notes]
    if classes:
        all_notes.append("where masks of classes overlap, the smaller one is in front")
    if multiple_masks:
        each, key = multiple_masks[0]
        check_annotators(multiple_masks)
        method = "read as objects" if masks_are_objects else "joined into one"
        all_notes.append(
            f"{len(multiple_masks)} images have several masks, {method}: "
            f"{each.siblings[key][0].name}"
        )
    counts = Counter(classes)
    classes = tuple(n if counts[n] > 1 else c for n, c in zip(names, classes, strict=False))
    has_several_masks = bool(multiple_masks)
    return MapSelection(
        tuple(names),
        classes,
        has_several_masks,
        masks_are_objects and has_several_masks,
        notes=tuple(all_notes),
    )


def class_from_set_name(name: str) -> str | None:
    """Return the class that a map set is named after; None if its name is not that of a class."""
    parts = name.split("*")[0].split("/")
    return next((name_class for part in parts if (name_class := class_from_name(part))), None)


def check_annotators(multiple_masks: Sequence[tuple[FileSet, str]]) -> None:
    """Raise if masks of one image show the same object, as those of several annotators do.

    Raises:
        DataError: Most of these masks overlap strongly.
    """
    sample = multiple_masks[:: -(-len(multiple_masks) // MAX_COMPARED_IMAGES)]
    values = [
        iou(*pair)
        for each, key in sample
        for pair in combinations([try_read_mask(path) for path in list_masks(each, key)[:3]], 2)
    ]
    if np.median(values) > SAME_OBJECT_IOU:
        files = list_masks(*multiple_masks[0])
        raise DataError(
            f"{files[0]} and {files[1].name} are masks of one image that show the same, as those "
            "of several annotators do: keep one of them in the folder"
        )


def find_set_name(text: str, names: Sequence[str], folder: Path) -> str:
    """Return the name of the map set that the user means.

    Raises:
        DataError: No set has this name, or several do.
    """
    name_text = text.strip().strip("_-. /").lower()
    exact = [name for name in names if name.lower() == name_text]
    partial = [n for n in names if name_text in n.lower().replace("*", "/").split("/")]
    matching = exact or partial
    if len(matching) != 1:
        raise DataError(
            f"{folder} has no maps called {text.strip()!r}: pass --masks (masks=) one of "
            f"{', '.join(names)}"
        )
    return matching[0]


def sample_images(layout: Layout) -> Images:
    """Return the maps of some images; images with several maps take precedence."""
    images: Images = []
    for match in layout.matches:
        named_sets = list(zip(name_map_sets(match), match.map_sets, strict=True))
        for key in match.images.files:
            maps = {name: each.files[key] for name, each in named_sets if key in each.files}
            images += [maps] if maps else []
    with_several = [maps for maps in images if len(maps) > 1] or images
    return with_several[:: -(-len(with_several) // MAX_COMPARED_IMAGES)]


def try_read_map(path: Path) -> Shaped[np.ndarray, "h w ..."] | None:
    """Read a map; return None if it cannot be read."""
    try:
        return read_map_file(path).pixels
    except DataError:
        return None


def try_read_mask(path: Path) -> Bool[np.ndarray, "h w"] | None:
    """Read a black and white mask; return None for other maps."""
    pixels = try_read_map(path)
    try:
        return None if pixels is None else to_mask(pixels, path)
    except DataError:
        return None


def is_equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Return whether two maps were read and are equal."""
    return one is not None and other is not None and np.array_equal(one, other)


def drop_constant_sets(images: Images, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Drop map sets that are constant over all images while others vary; also return notes."""
    constant: list[str] = []
    for name in names:
        paths = [maps[name] for maps in images if name in maps]
        first = try_read_map(paths[0]) if len(paths) > 1 else None
        if first is not None and all(is_equal(first, try_read_map(path)) for path in paths[1:]):
            constant.append(name)
    remaining = [name for name in names if name not in constant]
    if not remaining:
        return list(names), []
    return remaining, [f"{name} is not read: it is the same for every image" for name in constant]


def drop_copied_sets(images: Images, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Drop map sets whose maps equal those of another set; also return notes."""
    remaining: list[str] = []
    notes: list[str] = []
    for name in names:
        for other in remaining:
            in_both = [maps for maps in images if name in maps and other in maps]
            if in_both and all(
                is_equal(try_read_map(maps[name]), try_read_map(maps[other])) for maps in in_both
            ):
                notes.append(f"{name} is not read: it equals {other}")
                break
        else:
            remaining.append(name)
    return remaining, notes


def are_class_masks(images: Images, names: Sequence[str]) -> bool:
    """Return whether map sets are masks of one class each, by their names, values and overlaps."""
    classes = [class_from_set_name(name) for name in names]
    if None in classes or len(set(classes)) < len(classes):
        return False
    overlaps = []
    for maps in images:
        masks = [try_read_mask(path) for name, path in maps.items() if name in names]
        if any(mask is None for mask in masks):
            return False
        overlaps += [iou(one, other) for one, other in combinations(masks, 2)]
    overlaps = [value for value in overlaps if not np.isnan(value)]
    return not overlaps or float(np.median(overlaps)) <= SAME_OBJECT_IOU


def iou(one: Bool[np.ndarray, "h w"] | None, other: Bool[np.ndarray, "h w"] | None) -> float:
    """Compute the IoU of two masks; NaN if one is empty or their sizes differ."""
    if one is None or other is None or one.shape != other.shape or not (one.any() and other.any()):
        return float("nan")
    return float((one & other).sum() / (one | other).sum())


def ambiguous_maps_error(folder: Path, names: Sequence[str], images: Images) -> DataError:
    """Build the error that lists the rivals and the option that decides."""
    example = next(iter(images[0].values()))
    set_list = ", ".join(names)
    classes = ",".join(names[:2])
    return DataError(
        f"{folder} has several maps for one image, such as {example.name}: {set_list}; choose one "
        f"by --masks {names[0]} (masks=), or read masks of one class each by --masks {classes}"
    )
