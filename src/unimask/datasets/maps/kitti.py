"""Read KITTI's semantic and instance segmentation, and KITTI-STEP, as published.

KITTI's classes are those of Cityscapes. Instance maps have 16 bits, `256 * raw class id + object
number` (development kit of the benchmark). KITTI-STEP's panoptic maps are RGB: red is the index of
the class, green and blue the object number (deeplab2's `kitti_step.md`).
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    UnlabelledError,
)
from unimask.datasets.maps.cityscapes import LAST_RAW_ID, RAW_IDS
from unimask.datasets.maps.classes import IGNORED, Classes
from unimask.datasets.maps.keyed_files import images_by_key, pair_by_key
from unimask.datasets.maps.label_map import read_channels, read_numbers
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.maps.segments import FOREIGN, SegmentClass, open_segment_maps
from unimask.datasets.maps.semantic import open_semantic_maps
from unimask.datasets.videos import group_frames
from unimask.errors import DataError
from unimask.label_sets import known_labels
from unimask.labels import IGNORE_LABEL, LabelSet

FORMAT = "KITTI"
STEP_FORMAT = "KITTI-STEP"

IMAGES, INSTANCES, CLASSES, BOXES = "image_2", "instance", "semantic", "label_2"

STEP_MAPS, STEP_IMAGES = "panoptic_maps", ("training/image_02", "image_02")

OBJECT_FACTOR = 256
"""Factor of instance ids."""

STEP_FACTOR = 4096
"""Factor of segment ids of KITTI-STEP, greater than its object numbers."""

STEP_THINGS = (11, 13)
"""Indices of the classes with objects in KITTI-STEP: person and car."""

FOREIGN_RAW_IDS = (29, 30)
"""Raw ids of caravans and trailers, things that are not evaluated."""


def find_kitti(folder: Path) -> DetectedDataset | None:
    """Detect `image_2/` beside `instance/` or `semantic/`.

    Raises:
        UnlabelledError: Only KITTI's boxes are beside the images.
    """
    if not (folder / IMAGES).is_dir():
        return None
    kinds = [kind for kind in (INSTANCES, CLASSES) if (folder / kind).is_dir()]
    if not kinds and (folder / BOXES).is_dir():
        raise UnlabelledError(
            f"{folder / BOXES} holds boxes of KITTI, which are not enough for segmentation: add "
            f"{INSTANCES}/ or {CLASSES}/"
        )
    if not kinds:
        return None
    opener = partial(open_images, folder)
    reason = f"{IMAGES}/ beside {kinds[0]}/"
    return DetectedDataset(
        FORMAT, {ALL_IMAGES: opener}, (), Evidence.LAYOUT, reason, has_class_names=True
    )


def open_images(folder: Path, options: DatasetOptions) -> Dataset:
    """Open the instance maps of a folder, or its semantic maps if there are none."""
    labels, images = known_labels("cityscapes"), images_by_key(folder / IMAGES)
    instances = pair_by_key(images, images_by_key(folder / INSTANCES))
    notes = "classes of Cityscapes that are not evaluated are ignored"
    if instances.images:
        notes += ", things without a number are crowds" + instances.missing_maps_note
        info = DatasetInfo(FORMAT, notes=notes, ap="cityscapes")
        return open_segment_maps(
            instances, folder, labels, read_numbers, classify_segment, info, options
        )
    pairs = pair_by_key(images, images_by_key(folder / CLASSES))
    label_of = dict.fromkeys(range(LAST_RAW_ID + 1), IGNORED) | {IGNORE_LABEL: IGNORED}
    label_of |= {raw: label for label, raw in enumerate(RAW_IDS)}
    info = DatasetInfo(
        f"{FORMAT} without instances", ("semantic",), notes + pairs.missing_maps_note
    )
    read = Classes(labels, label_of, False, notes).read
    return open_semantic_maps(pairs, folder, labels, read, info, options)


def classify_segment(code: int) -> SegmentClass:
    """Return the label id and crowd flag of an instance id.

    Raises:
        KeyError: The value is not one that KITTI defines.
    """
    raw, number = divmod(code, OBJECT_FACTOR)
    if raw == IGNORE_LABEL:
        return None
    if raw > LAST_RAW_ID:
        raise KeyError(code)
    if raw not in RAW_IDS:
        return (FOREIGN, False) if raw in FOREIGN_RAW_IDS and number else None
    label = RAW_IDS.index(raw)
    return label, not number and known_labels("cityscapes").is_thing[label]


def find_kitti_step(folder: Path) -> DetectedDataset | None:
    """Detect `panoptic_maps/SPLIT/SEQUENCE/` beside `training/image_02/SEQUENCE/`."""
    images_folder = next((folder / n for n in STEP_IMAGES if (folder / n).is_dir()), None)
    if images_folder is None or not (folder / STEP_MAPS).is_dir():
        return None
    images, splits = images_by_key(images_folder), {}
    frames = {"/".join(key.split("/")[-2:]): path for key, path in images.items()}
    for split in ("train", "val"):
        maps = images_by_key(folder / STEP_MAPS / split)
        sequences = {key.split("/")[0] for key in maps}
        own = {key: path for key, path in frames.items() if key.split("/")[0] in sequences}
        pairs = pair_by_key(own, maps)
        if pairs.images:
            splits[split] = partial(open_step, folder, pairs)
    reason = f"{STEP_MAPS}/ beside {images_folder.name}/"
    detected = DetectedDataset(
        STEP_FORMAT, splits, (), Evidence.LAYOUT, reason, has_class_names=True
    )
    return detected if splits else None


def open_step(folder: Path, pairs: Pairs, options: DatasetOptions) -> Dataset:
    """Open the panoptic maps of KITTI-STEP: persons and cars are things, all else is stuff."""
    city = known_labels("cityscapes")
    labels = replace(city, is_thing=tuple(label in STEP_THINGS for label in range(len(city))))
    notes = "persons and cars are things, things without a number are crowds, 255 is ignored"
    info = DatasetInfo(STEP_FORMAT, notes=notes + pairs.missing_maps_note)
    classify = partial(classify_step, labels)
    dataset = open_segment_maps(pairs, folder, labels, read_step, classify, info, options)
    dataset.videos = group_frames(dataset.paths)
    return dataset


def read_step(file: MapFile) -> Int[np.ndarray, "h w"]:
    """Read a panoptic map as segment ids.

    Raises:
        DataError: The map cannot be read, or has an object number that is too large.
    """
    channels = read_channels(file).astype(np.int32)
    numbers = channels[..., 1] * 256 + channels[..., 2]
    numbers[channels[..., 0] == IGNORE_LABEL] = 0
    if numbers.size and numbers.max() >= STEP_FACTOR:
        raise DataError(
            f"{file} has object number {numbers.max()}, but they are less than {STEP_FACTOR}: "
            "download it again"
        )
    return channels[..., 0] * STEP_FACTOR + numbers


def classify_step(labels: LabelSet, code: int) -> SegmentClass:
    """Return the label id and crowd flag of a segment id.

    Raises:
        KeyError: The class is not one that KITTI-STEP defines.
    """
    label, number = divmod(code, STEP_FACTOR)
    if label == IGNORE_LABEL:
        return None
    if label >= len(labels):
        raise KeyError(code)
    return label, labels.is_thing[label] and not number
