"""Pictures beside maps with a class in their red and an object's number in their green.

It is how examples of Hugging Face train instance segmentation, and ADE20K has its objects alike.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.datasets.found import About, Wish
from unimask.datasets.maps.class_table import ClassTable, is_void
from unimask.datasets.maps.glimpses import Glimpse
from unimask.datasets.maps.label_map import read_channels
from unimask.datasets.maps.map_pictures import MapPictures
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.maps.scanned_values import NOTHING, SCANNED
from unimask.datasets.maps.segments import Meaning, segment_maps
from unimask.errors import DataError
from unimask.labels import LabelSet

FORMAT = "class and object channels"

BACKGROUND = "background"

OBJECTS = 256
"""A pixel's number is its class times this, and the number of its object."""

COUNTED = 0.5
"""Share of the numbers up to the largest green that must occur for greens to count objects."""


def are_channels(seen: Sequence[Glimpse]) -> bool:
    """Say whether maps hold classes in red and objects in green: blue is nowhere, greens count."""
    coloured = [each for each in seen if each.coloured]
    dark = all(each.coloured or not each.values.any() for each in seen)
    if not coloured or not dark:
        return False
    values = np.unique(np.concatenate([each.values for each in coloured]))
    greens = np.unique(values >> 8 & 255)
    return not (values & 255).any() and len(greens) >= COUNTED * (int(greens.max()) + 1)


def read_codes(file: MapFile) -> Int[np.ndarray, "h w"]:
    """Read a map as numbers of class and object.

    Raises:
        DataError: It cannot be read, or has not three channels.
    """
    channels = read_channels(file).astype(np.int32)
    return channels[..., 0] * OBJECTS + channels[..., 1]


@dataclass(frozen=True, slots=True)
class ChannelClasses:
    """What the numbers of such maps mean.

    Attributes:
        labels: The classes.
        label_of: Label id of each red; None for what is ignored.
        background: Label id of red 0 without an object.
    """

    labels: LabelSet
    label_of: dict[int, int | None]
    background: int

    def meaning_of(self, code: int) -> Meaning:
        """Say what a number means: a thing without a number stands for many."""
        red, green = divmod(code, OBJECTS)
        if code == 0:
            return self.background, False
        label = self.label_of[red]
        return None if label is None else (label, self.labels.is_thing[label] and green == 0)


def channel_maps(
    pairs: Pairs, files: Sequence[MapFile], folder: Path, tables: Sequence[ClassTable], wish: Wish
) -> MapPictures:
    """Give pictures with objects and regions.

    A class that has numbered objects anywhere is a thing, any other a stuff; where both red and
    green are 0 is the background. Names are those of a table by their values; where it has no place
    for 0, they count from 1. 255 is ignored unless it has a name.

    Args:
        pairs: Pictures and their maps.
        files: The maps of all splits.
        folder: Of the dataset.
        tables: Of classes, the likeliest first.
        wish: Names of the classes in the order of their values, and the pictures' channels.

    Raises:
        DataError: A map cannot be read, or there are too few or too many names.
    """
    codes = codes_in(files)
    things = {code // OBJECTS for code in codes if code % OBJECTS}
    names, told = names_of(sorted({code // OBJECTS for code in codes} - {*NOTHING}), tables)
    kept = [red for red, name in sorted(names.items()) if not is_void(name)]
    if wish.names is not None:
        if len(wish.names) != len(kept):
            raise DataError(f"{len(wish.names)} names, but {folder} has {len(kept)} classes")
        names |= dict(zip(kept, wish.names, strict=True))
    reds: list[int | None] = [*kept, *([None] if 0 not in kept or 0 in things else [])]
    labels = LabelSet(
        tuple(BACKGROUND if red is None else names[red] for red in reds),
        tuple(red is not None and (red in things or not is_seen(red, codes)) for red in reds),
    )
    label_of: dict[int, int | None] = dict.fromkeys([*NOTHING, *names])
    label_of |= {red: label for label, red in enumerate(reds) if red is not None}
    classes = ChannelClasses(labels, label_of, reds.index(None if None in reds else 0))
    about = About(FORMAT, told=f"{told}; red is the class, green counts objects{pairs.left_out}")
    return segment_maps(pairs, folder, labels, read_codes, classes.meaning_of, about, wish)


def is_seen(red: int, codes: set[int]) -> bool:
    """Say whether a class has pixels without an object; 0 always may."""
    return red == 0 or red * OBJECTS in codes


def names_of(reds: list[int], tables: Sequence[ClassTable]) -> tuple[dict[int, str], str]:
    """Give the name of each class by its value, and where names come from."""
    if not tables:
        return {0: BACKGROUND} | {red: f"class {red}" for red in reds if red}, "named by value"
    rows = tables[0].rows
    names = {place if r.value is None else r.value: r.name for place, r in enumerate(rows)}
    if max(reds, default=0) == len(rows) and sorted(names) == list(range(len(rows))):
        names = {0: BACKGROUND} | {value + 1: name for value, name in names.items()}
    return names, f"names of {tables[0].path.name}"


def codes_in(files: Sequence[MapFile]) -> set[int]:
    """Give all numbers of class and object that maps hold.

    Raises:
        DataError: A map cannot be read.
    """
    with ThreadPoolExecutor() as pool:
        chosen = files[:: -(-len(files) // SCANNED)]
        return {code for found in pool.map(codes_of, chosen) for code in found}


def codes_of(file: MapFile) -> list[int]:
    """Give the numbers of one map."""
    return np.flatnonzero(np.bincount(read_codes(file).ravel())).tolist()
