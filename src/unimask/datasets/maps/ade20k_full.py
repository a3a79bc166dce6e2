"""Read the full ADE20K as published (2021_17_01): `a.jpg`, `a_seg.png` and `a.json` per image.

In `a_seg.png`, red / 10 * 256 + green is the number of the class, and blue separates the objects;
where the class is 0, nothing is labelled (the authors' `utils_ade20k.py`). The JSON lists the
objects with the names and numbers of their classes. Parts of objects are in `a_parts_1.png`.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
from jaxtyping import Int

from unimask.datasets.image_files import walk_folders
from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.maps.folder_words import split_from_names
from unimask.datasets.maps.label_map import read_channels
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.maps.segments import SegmentClass, open_segment_maps
from unimask.errors import DataError, one_line
from unimask.formats.json_values import normalize_fields, parse_class_name, parse_integer
from unimask.label_sets import known_labels
from unimask.labels import LabelSet

FORMAT = "ADE20K 2021"

MAP_ENDING, OLD_ENDING = "_seg.png", "_atr.txt"

CONTENT = re.compile(rb'\s*\{\s*"annotation"\s*:\s*\{')
"""Pattern of the beginning of a JSON file of this dataset."""

MAX_JSON_BYTES = 2**26

OBJECT_FACTOR = 256
"""Factor of segment ids: `OBJECT_FACTOR * class number + object number`."""

MAX_CLASS = 25 * 256 + 255
"""Largest class number that a map can hold."""


class AdeRecord(msgspec.Struct):
    """Record whose fields are normalised after parsing."""

    NORMAL_FORM: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL_FORM)


class AdeParts(AdeRecord):
    """Place of an object among the parts of others.

    Attributes:
        part_level: 0 for whole objects, which `a_seg.png` shows.
    """

    part_level: Any = 0

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"part_level": partial(parse_integer, maximum=1000)}


class AdeObject(AdeRecord):
    """Object of an image: the name and the number of its class."""

    name: Any
    name_ndx: Any
    parts: AdeParts = msgspec.field(default_factory=AdeParts)

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "name": parse_class_name,
        "name_ndx": partial(parse_integer, maximum=2**31),
    }


class AdeAnnotation(msgspec.Struct):
    """Objects of an image."""

    object: list[AdeObject] = msgspec.field(default_factory=list)


class AdeFile(msgspec.Struct):
    """JSON file of an image."""

    annotation: AdeAnnotation


@dataclass
class AdeFolder:
    """Images of a folder with their maps and JSON files.

    Attributes:
        folder: Folder of the dataset.
        splits: Images and maps by split.
        records: JSON files.
    """

    folder: Path
    splits: dict[str, Pairs] = field(default_factory=lambda: defaultdict(Pairs))
    records: list[Path] = field(default_factory=list)

    def open_split(self, split: str, options: DatasetOptions) -> Dataset:
        """Open one split.

        Raises:
            DataError: A JSON file is malformed.
        """
        labels, label_of = self.classes
        pairs = self.splits[split]
        notes = "classes as the JSON files name them, 0 is ignored, parts are not read"
        info = DatasetInfo(FORMAT, notes=notes + pairs.missing_maps_note)
        classify = partial(classify_segment, label_of)
        return open_segment_maps(
            pairs, self.folder, labels, read_segment_ids, classify, info, options
        )

    @cached_property
    def classes(self) -> tuple[LabelSet, dict[int, int]]:
        """Classes of the objects in all splits, and the label id of each class number.

        Classes that are stuff in the 150 classes of the challenge are stuff, and all others things.

        Raises:
            DataError: A JSON file is malformed, or two files name a class number differently.
        """
        names: dict[int, str] = {}
        for path in self.records:
            for entry in read_objects(path):
                known = names.setdefault(entry.name_ndx, entry.name)
                if known != entry.name:
                    raise DataError(
                        f"{path} calls class {entry.name_ndx} {entry.name!r}, but another file "
                        f"{known!r}: download it again"
                    )
        if not names:
            raise DataError(f"{self.folder} names no class in its JSON files: download it again")
        distinct = list(dict.fromkeys(names[number] for number in sorted(names)))
        challenge = known_labels("ade20k")
        stuff = {
            first_name(name)
            for name, is_thing in zip(challenge.names, challenge.is_thing, strict=True)
            if not is_thing
        }
        labels = LabelSet(
            tuple(distinct), tuple(first_name(name) not in stuff for name in distinct)
        )
        place = {name: label for label, name in enumerate(distinct)}
        return labels, {number: place[name] for number, name in names.items()}


def first_name(name: str) -> str:
    """Return the first of several synonyms."""
    return name.split(",")[0].strip().lower()


def find_ade20k_full(folder: Path) -> DetectedDataset | None:
    """Detect images with a `_seg.png` and a JSON of this dataset, in folders of any depth."""
    data, is_checked = AdeFolder(folder), False
    for place, names in walk_folders(folder):
        stems = [name.removesuffix(MAP_ENDING) for name in names if name.endswith(MAP_ENDING)]
        if not stems:
            continue
        present = frozenset(names)
        if not is_checked and (detected := check_first(folder, place, stems[0], present)):
            return detected
        if not is_checked and not is_record(place / f"{stems[0]}.json"):
            return None
        is_checked = True
        with_image = {stem for stem in stems if f"{stem}.jpg" in present}
        split = split_from_names(place.relative_to(folder).parts) or ALL_IMAGES
        data.splits[split].add(
            {stem: place / f"{stem}.jpg" for stem in with_image},
            {stem: place / f"{stem}{MAP_ENDING}" for stem in with_image},
        )
        data.records += [place / f"{stem}.json" for stem in stems if f"{stem}.json" in present]
    openers = {
        split: partial(data.open_split, split)
        for split, pairs in data.splits.items()
        if pairs.images
    }
    reason = f"*{MAP_ENDING} beside JSON files of ADE20K"
    detected = DetectedDataset(FORMAT, openers, (), Evidence.LAYOUT, reason, has_class_names=True)
    return detected if openers else None


def check_first(
    folder: Path, place: Path, stem: str, names: frozenset[str]
) -> DetectedDataset | None:
    """Return a dataset that cannot be opened if the files are those of ADE20K's first release."""
    if f"{stem}{OLD_ENDING}" not in names or f"{stem}.json" in names:
        return None
    opener = partial(refuse_first_release, place / f"{stem}{OLD_ENDING}")
    reason = f"*{MAP_ENDING} beside *{OLD_ENDING}"
    return DetectedDataset(FORMAT, {ALL_IMAGES: opener}, (), Evidence.LAYOUT, reason)


def refuse_first_release(file: Path, options: DatasetOptions) -> Dataset:
    """Raise because the class numbers of the first release are only in its MATLAB index.

    Raises:
        DataError: Always.
    """
    raise DataError(
        f"{file} is of ADE20K's release of 2016, whose class numbers are not named beside the "
        "images: use the release 2021_17_01, or the 150 classes of ADEChallengeData2016"
    )


def is_record(path: Path) -> bool:
    """Return whether a file begins like a JSON file of this dataset."""
    try:
        with path.open("rb") as stream:
            return CONTENT.match(stream.read(256).removeprefix(b"\xef\xbb\xbf")) is not None
    except OSError:
        return False


def read_objects(path: Path) -> list[AdeObject]:
    """Read the whole objects in a JSON file, which is UTF-8 or Latin-1.

    Raises:
        DataError: The file cannot be read, or is malformed.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise DataError(f"{path} has more than {MAX_JSON_BYTES} bytes: download it again")
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
        try:
            content.decode()
        except UnicodeDecodeError:
            content = content.decode("latin-1").encode()
        entries = msgspec.json.decode(content, type=AdeFile).annotation.object
    except (OSError, msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        reason = one_line(error)
        raise DataError(
            f"{path} is not a JSON file of ADE20K ({reason}): download it again"
        ) from error
    for entry in entries:
        if entry.name_ndx > MAX_CLASS:
            raise DataError(f"{path} has class number {entry.name_ndx}, which no map can hold")
    return [entry for entry in entries if entry.parts.part_level == 0 and entry.name_ndx]


def read_segment_ids(file: MapFile) -> Int[np.ndarray, "h w"]:
    """Read a map as segment ids; 0 where the class is 0.

    Raises:
        DataError: The map cannot be read.
    """
    channels = read_channels(file).astype(np.int32)
    classes = channels[..., 0] // 10 * 256 + channels[..., 1]
    return np.where(classes > 0, classes * OBJECT_FACTOR + channels[..., 2], 0)


def classify_segment(label_of: Mapping[int, int], code: int) -> SegmentClass:
    """Return the label id of a segment id; None for unlabelled pixels.

    Raises:
        KeyError: No JSON file names the class.
    """
    return None if code == 0 else (label_of[code // OBJECT_FACTOR], False)
