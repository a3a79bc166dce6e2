"""Read ADE20K: the scene parsing challenge as published, and the full set as others prepare it.

Semantic maps number the classes from 1; 0 marks unlabelled pixels. Instance maps are RGB: red is
the index, from 1, among the 100 thing classes (in the order of the 150 classes), and green is the
object number. Where the two maps disagree, an object overrides stuff, and pixels of a thing class
without an object are ignored, as in Mask2Former's `datasets/prepare_ade20k_pan_seg.py`.
"""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from unimask.datasets.interface import (
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.maps.classes import IGNORED, Classes
from unimask.datasets.maps.keyed_files import images_by_key, pair_by_key
from unimask.datasets.maps.label_map import check_size, read_channels, read_numbers
from unimask.datasets.maps.mask_set import MapFile, first_file
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.maps.segments import SegmentClass, open_segment_maps
from unimask.datasets.maps.semantic import open_semantic_maps
from unimask.datasets.objects.coco_panoptic import CocoPanoptic
from unimask.datasets.packed import file_path
from unimask.label_sets import known_labels
from unimask.labels import IGNORE_LABEL

FORMAT = "ADE20K"

SPLIT_FOLDERS = {"training": "train", "validation": "val"}

MARKER_FILES = ("objectInfo150.txt", "sceneCategories.txt")
"""Files that mark the dataset if the name of its folder does not start with "ade"."""

OBJECT_FACTOR = 256
"""Factor of segment ids: stuff has its class value, an object `OBJECTS * number + thing index`."""

IGNORED_16_BIT = 65535
"""Value of unlabelled pixels in 16-bit maps."""


def find_ade20k(folder: Path) -> DetectedDataset | None:
    """Detect ADE20K by `images/training/`, maps of the same splits, and its name or a marker."""
    is_named = folder.name.lower().startswith("ade")
    if not is_named and not any((folder / sign).is_file() for sign in MARKER_FILES):
        return None
    for images in ("images", "images_detectron2"):
        splits = {
            split: partial(open_split, folder, folder / images / inner)
            for inner, split in SPLIT_FOLDERS.items()
            if (folder / images / inner).is_dir() and has_maps(folder, images, inner)
        }
        if splits:
            reason = f"{images}/ and annotations of ADE20K"
            return DetectedDataset(
                FORMAT, splits, (), Evidence.LAYOUT, reason, has_class_names=True
            )
    return None


def has_maps(folder: Path, images: str, inner: str) -> bool:
    """Return whether a split has labels of any kind."""
    kinds = ["annotations_detectron2", *(["annotations"] if images == "images" else [])]
    panoptic = folder / f"ade20k_panoptic_{SPLIT_FOLDERS[inner]}.json"
    return any((folder / kind / inner).is_dir() for kind in kinds) or panoptic.is_file()


def open_split(folder: Path, images: Path, options: DatasetOptions) -> Dataset:
    """Open the richest labels of a split: panoptic, else instance with semantic, else semantic."""
    inner = images.name
    panoptic = folder / f"ade20k_panoptic_{SPLIT_FOLDERS[inner]}.json"
    if images.parent.name == "images_detectron2":
        return open_full(folder, images, options)
    if panoptic.is_file():
        return CocoPanoptic(panoptic, panoptic.with_suffix(""), images, options.channels)
    labels, maps = known_labels("ade20k"), folder / "annotations" / inner
    objects = folder / "annotations_instance" / inner
    if maps.is_dir() and objects.is_dir():
        pairs = pair_images(images, maps)
        notes = "0 is ignored, objects cover stuff, things without an object are ignored"
        info = DatasetInfo(f"{FORMAT} with instances", notes=notes + pairs.missing_maps_note)
        read = partial(read_segment_ids, maps, objects)
        return open_segment_maps(pairs, folder, labels, read, classify_segment, info, options)
    label_of = {0: IGNORED} | {label + 1: label for label in range(len(labels))}
    notes = "0 is ignored, 1 is the first class"
    if not maps.is_dir():
        maps, notes = folder / "annotations_detectron2" / inner, "255 is ignored"
        label_of = {IGNORE_LABEL: IGNORED} | {label: label for label in range(len(labels))}
    pairs = pair_images(images, maps)
    info = DatasetInfo(FORMAT, ("semantic",), notes + pairs.missing_maps_note)
    read = Classes(labels, label_of, False, notes).read
    return open_semantic_maps(pairs, folder, labels, read, info, options)


def open_full(folder: Path, images: Path, options: DatasetOptions) -> Dataset:
    """Open the 847 classes as Mask2Former and MaskFormer prepare them: 16 bits, from 0."""
    labels = known_labels("ade20k_full")
    label_of = {IGNORED_16_BIT: IGNORED} | {label: label for label in range(len(labels))}
    pairs = pair_images(images, folder / "annotations_detectron2" / images.name)
    notes = f"{IGNORED_16_BIT} is ignored"
    info = DatasetInfo(f"{FORMAT} full", ("semantic",), notes + pairs.missing_maps_note)
    read = Classes(labels, label_of, False, notes).read
    return open_semantic_maps(pairs, folder, labels, read, info, options)


def pair_images(images: Path, maps: Path) -> Pairs:
    """Pair images with maps of the same path in their folders, without the suffix."""
    return pair_by_key(
        images_by_key(images, frozenset({".jpg"})), images_by_key(maps, frozenset({".png", ".tif"}))
    )


def read_segment_ids(maps: Path, objects: Path, file: MapFile) -> Integer[np.ndarray, "h w"]:
    """Read a semantic map and its instance map as one map of segment ids.

    Args:
        maps: Folder of the semantic maps.
        objects: Folder of the instance maps.
        file: Semantic map.

    Raises:
        DataError: One of them cannot be read, or their sizes differ.
    """
    stuff = read_numbers(file).astype(np.int64)
    instance_map = objects / file_path(first_file(file)).relative_to(maps)
    things = read_channels(instance_map)
    check_size(things[..., 0], instance_map, stuff.shape, first_file(file))
    is_stuff = np.array([False, *(not thing for thing in known_labels("ade20k").is_thing)])
    stuff[(stuff < len(is_stuff)) & ~is_stuff[np.minimum(stuff, len(is_stuff) - 1)]] = 0
    thing, number = things[..., 0].astype(np.int64), things[..., 1].astype(np.int64)
    return np.where(number > 0, number * OBJECT_FACTOR + thing, stuff)


def classify_segment(code: int) -> SegmentClass:
    """Return the label id and crowd flag of a segment id; None for unlabelled pixels.

    Raises:
        KeyError: The id is not one that ADE20K defines.
    """
    labels = known_labels("ade20k")
    if code >= OBJECT_FACTOR:
        thing = code % OBJECT_FACTOR
        if not 1 <= thing <= len(labels.things):
            raise KeyError(code)
        return labels.things[thing - 1], False
    if code > len(labels):
        raise KeyError(code)
    return None if code == 0 else (code - 1, False)
