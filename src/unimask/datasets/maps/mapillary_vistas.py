"""Read Mapillary Vistas as published: a folder per split, and `config.json` with the classes.

An instance map holds `256 * class index + object number`, the index being the class's position in
the configuration (see `demo.py`, which comes with the data).
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

from unimask.datasets.interface import (
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.maps.class_table import PARSE_ERRORS, parse_name, parse_whole_number
from unimask.datasets.maps.classes import IGNORED, Classes
from unimask.datasets.maps.keyed_files import images_by_key, pair_by_key
from unimask.datasets.maps.label_map import read_numbers
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.maps.segments import SegmentClass, open_segment_maps
from unimask.datasets.maps.semantic import open_semantic_maps
from unimask.errors import DataError, SettingsError, one_line
from unimask.labels import LabelSet

FORMAT = "Mapillary Vistas"

CONFIGURATIONS = (("config.json", ""), ("config_v1.2.json", "v1.2"), ("config_v2.0.json", "v2.0"))
"""Class files, and the folder within a split that holds their maps. Release 1.2 comes first because
published weights use its classes."""

SPLIT_FOLDERS = {"training": "train", "validation": "val", "train": "train", "val": "val"}

OBJECT_FACTOR = 256


def find_mapillary_vistas(folder: Path) -> DetectedDataset | None:
    """Detect Mapillary Vistas by a configuration beside `training/` and `validation/`."""
    for name, release in CONFIGURATIONS:
        openers = {
            split: partial(open_split, folder, folder / inner, folder / name, release)
            for inner, split in SPLIT_FOLDERS.items()
            if (folder / inner / "images").is_dir()
            and any((folder / inner / release / kind).is_dir() for kind in ("instances", "labels"))
        }
        if openers and (folder / name).is_file():
            reason = f"{name} beside folders of splits"
            return DetectedDataset(
                FORMAT, openers, (), Evidence.LAYOUT, reason, has_class_names=True
            )
    return None


def open_split(
    folder: Path, split: Path, configuration: Path, release: str, options: DatasetOptions
) -> Dataset:
    """Open the instance maps of a split, or its semantic maps if there are none."""
    labels, label_of = read_classes(configuration)
    ignored = "classes that are not evaluated are ignored"
    instances = pair_maps(split, split / release / "instances")
    if instances.images:
        classify = partial(classify_segment, label_of)
        info = DatasetInfo(FORMAT, notes=ignored + instances.missing_maps_note)
        return open_segment_maps(instances, folder, labels, read_numbers, classify, info, options)
    pairs = pair_maps(split, split / release / "labels")
    info = DatasetInfo(
        f"{FORMAT} without instances", ("semantic",), ignored + pairs.missing_maps_note
    )
    read = Classes(labels, label_of, False, ignored).read
    return open_semantic_maps(pairs, folder, labels, read, info, options)


def pair_maps(split: Path, maps: Path) -> Pairs:
    """Pair the images of a split with maps of the same path in their folder."""
    return pair_by_key(
        images_by_key(split / "images", frozenset({".jpg"})),
        images_by_key(maps, frozenset({".png"})),
    )


def read_classes(path: Path) -> tuple[LabelSet, dict[int, int]]:
    """Read the evaluated classes, and the label id of each class index.

    Raises:
        DataError: The file is malformed.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        entries: list[dict[str, Any]] = content["labels"]
        evaluated = [place for place, entry in enumerate(entries) if entry["evaluate"]]
        labels = LabelSet(
            tuple(parse_name(entries[place]["readable"]) for place in evaluated),
            tuple(bool(entries[place]["instances"]) for place in evaluated),
            tuple(to_rgb(entries[place]["color"]) for place in evaluated),
        )
    except (*PARSE_ERRORS, SettingsError) as error:
        reason = one_line(error)
        raise DataError(
            f"{path} is not Mapillary's configuration ({reason}): download it again"
        ) from error
    label_of = dict.fromkeys(range(len(entries)), IGNORED)
    return labels, label_of | {place: label for label, place in enumerate(evaluated)}


def to_rgb(colour: list[int]) -> tuple[int, int, int]:
    """Return a colour as a tuple of three integers."""
    red, green, blue = map(parse_whole_number, colour)
    return red, green, blue


def classify_segment(label_of: dict[int, int], code: int) -> SegmentClass:
    """Return the label id and crowd flag of an instance map's value; None if it is ignored."""
    label = label_of[code // OBJECT_FACTOR]
    return None if label == IGNORED else (label, False)
