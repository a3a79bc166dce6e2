"""Read images with maps whose red channel is the class and whose green channel the object number.

Hugging Face's examples train instance segmentation on such maps; ADE20K stores objects similarly.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.datasets.interface import DatasetInfo, DatasetOptions
from unimask.datasets.maps.class_table import ClassTable, is_void
from unimask.datasets.maps.dataset import MapDataset
from unimask.datasets.maps.label_map import read_channels
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.maps.sampled_maps import MapStatistics
from unimask.datasets.maps.scanned_values import MAX_SCANNED_MAPS, UNLABELLED_VALUES
from unimask.datasets.maps.segments import SegmentClass, open_segment_maps
from unimask.errors import DataError
from unimask.labels import LabelSet

FORMAT = "class and object channels"

BACKGROUND = "background"

OBJECTS_PER_CLASS = 256
"""Factor of segment ids: `OBJECTS * class + object number`."""

MIN_NUMBERED_SHARE = 0.5
"""Minimum share of the numbers 0 to the largest green value that occur, if green numbers
objects."""


def are_class_and_object_channels(statistics: Sequence[MapStatistics]) -> bool:
    """Return whether red looks like a class and green like an object number, with blue always 0.

    Masks painted only in shades of red do not number objects: their colours are classes.
    """
    coloured = [each for each in statistics if each.coloured]
    has_black_maps_only = all(each.coloured or not each.values.any() for each in statistics)
    if not coloured or not has_black_maps_only:
        return False
    values = np.unique(np.concatenate([each.values for each in coloured]))
    greens = np.unique(values >> 8 & 255)
    are_numbered = len(greens) >= MIN_NUMBERED_SHARE * (int(greens.max()) + 1)
    return bool(greens.any()) and not (values & 255).any() and are_numbered


def read_codes(file: MapFile) -> Int[np.ndarray, "h w"]:
    """Read a map as segment ids of class and object.

    Raises:
        DataError: The map cannot be read, or does not have three channels.
    """
    channels = read_channels(file).astype(np.int32)
    return channels[..., 0] * OBJECTS_PER_CLASS + channels[..., 1]


@dataclass(frozen=True, slots=True)
class ChannelClasses:
    """Classes of maps with class and object channels.

    Attributes:
        labels: Label set of the dataset.
        label_of: Label id of each red value; None for ignored pixels.
        background: Label id of pixels with red 0 and no object.
    """

    labels: LabelSet
    label_of: dict[int, int | None]
    background: int

    def classify_segment(self, code: int) -> SegmentClass:
        """Return label id and crowd flag of a segment id: a thing without a number is a crowd."""
        red, green = divmod(code, OBJECTS_PER_CLASS)
        if code == 0:
            return self.background, False
        label = self.label_of[red]
        return None if label is None else (label, self.labels.is_thing[label] and green == 0)


def open_channel_maps(
    pairs: Pairs,
    files: Sequence[MapFile],
    folder: Path,
    tables: Sequence[ClassTable],
    options: DatasetOptions,
) -> MapDataset:
    """Build a dataset of images whose maps hold a class and an object number.

    A class that has numbered objects in any map is a thing, any other is stuff; pixels whose red
    and green are both 0 are background. A table assigns names to values; if it has no row for 0,
    its names count from 1. 255 is ignored unless it has a name.

    Args:
        pairs: Images and their maps.
        files: Maps of all splits.
        folder: Folder of the dataset.
        tables: Tables of classes, the most likely first.
        options: Options with the class names in the order of their values, and the images'
            channels.

    Raises:
        DataError: A map cannot be read, or there are too few or too many names.
    """
    codes = scan_codes(files)
    things = {code // OBJECTS_PER_CLASS for code in codes if code % OBJECTS_PER_CLASS}
    names, notes = channel_class_names(
        sorted({code // OBJECTS_PER_CLASS for code in codes} - {*UNLABELLED_VALUES}), tables
    )
    values = [red for red, name in sorted(names.items()) if not is_void(name)]
    if options.names is not None:
        if len(options.names) != len(values):
            raise DataError(f"{len(options.names)} names, but {folder} has {len(values)} classes")
        names |= dict(zip(values, options.names, strict=True))
    reds: list[int | None] = [*values, *([None] if 0 not in values or 0 in things else [])]
    labels = LabelSet(
        tuple(BACKGROUND if red is None else names[red] for red in reds),
        tuple(
            red is not None and (red in things or not has_unnumbered_pixels(red, codes))
            for red in reds
        ),
    )
    label_of: dict[int, int | None] = dict.fromkeys([*UNLABELLED_VALUES, *names])
    label_of |= {red: label for label, red in enumerate(reds) if red is not None}
    classes = ChannelClasses(labels, label_of, reds.index(None if None in reds else 0))
    info = DatasetInfo(
        FORMAT, notes=f"{notes}; red is the class, green counts objects{pairs.missing_maps_note}"
    )
    return open_segment_maps(
        pairs, folder, labels, read_codes, classes.classify_segment, info, options
    )


def has_unnumbered_pixels(red: int, codes: set[int]) -> bool:
    """Return whether a class has pixels without an object number; 0 always may."""
    return red == 0 or red * OBJECTS_PER_CLASS in codes


def channel_class_names(
    reds: list[int], tables: Sequence[ClassTable]
) -> tuple[dict[int, str], str]:
    """Return the class name of each red value, and a note on the names' source."""
    if not tables:
        return {0: BACKGROUND} | {red: f"class {red}" for red in reds if red}, "named by value"
    rows = tables[0].rows
    names = {place if r.value is None else r.value: r.name for place, r in enumerate(rows)}
    if max(reds, default=0) == len(rows) and sorted(names) == list(range(len(rows))):
        names = {0: BACKGROUND} | {value + 1: name for value, name in names.items()}
    return names, f"names of {tables[0].path.name}"


def scan_codes(files: Sequence[MapFile]) -> set[int]:
    """Return all segment ids that occur in the maps.

    Raises:
        DataError: A map cannot be read.
    """
    with ThreadPoolExecutor() as pool:
        sample = files[:: -(-len(files) // MAX_SCANNED_MAPS)]
        return {code for codes in pool.map(map_codes, sample) for code in codes}


def map_codes(file: MapFile) -> list[int]:
    """Return the segment ids of one map."""
    return np.flatnonzero(np.bincount(read_codes(file).ravel())).tolist()
