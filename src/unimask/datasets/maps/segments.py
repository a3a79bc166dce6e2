"""Pictures beside maps that number segments, each of which has a class."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from unimask.datasets.found import About, Wish
from unimask.datasets.maps.map_pictures import MapPictures, Objects
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.errors import DataError
from unimask.labels import LabelSet

ReadSegments = Callable[[MapFile], Integer[np.ndarray, "h w"]]
"""Gives numbers of segments, from 0 to less than 2^24."""

Meaning = tuple[int, bool] | None
"""Label id of a segment and whether it stands for many objects; None where nothing is known."""

MOST_SEGMENTS = 2**24
"""Numbers of segments are smaller than this."""

FOREIGN = -1
"""Label id of objects whose class is not among the labels: ignored, and `Sample.foreign`."""

MeaningOf = Callable[[int], Meaning]
"""Says what a number means; raises KeyError for those that mean nothing."""


def segment_maps(
    pairs: Pairs,
    folder: Path,
    labels: LabelSet,
    read: ReadSegments,
    meaning_of: MeaningOf,
    about: About,
    wish: Wish,
) -> MapPictures:
    """Give pictures with segments of things and stuff, whose numbers tell class and object.

    Args:
        pairs: Pictures and their maps.
        folder: Of the dataset.
        labels: The classes.
        read: Reads a map as numbers of segments.
        meaning_of: Says what a number means.
        about: What they are.
        wish: Channels of the pictures.
    """
    read_objects = partial(read_segments, read, meaning_of, about.format)
    return MapPictures(pairs, folder, labels, read_objects, about, wish)


def read_segments(read: ReadSegments, meaning_of: MeaningOf, format: str, file: MapFile) -> Objects:
    """Read a map: an object per number that means something.

    Raises:
        DataError: It cannot be read, or has a number that means nothing.
    """
    codes = read(file)
    if codes.size and codes.max() >= MOST_SEGMENTS:
        raise DataError(
            f"{file} has value {codes.max()}, which means nothing in {format}: export the map again"
        )
    counts = np.bincount(codes.ravel())
    known: list[tuple[int, tuple[int, bool]]] = []
    foreign: list[int] = []
    for code in np.flatnonzero(counts).tolist():
        try:
            meaning = meaning_of(code)
        except KeyError:
            raise DataError(
                f"{file} has value {code} ({counts[code]} pixels), which means nothing in "
                f"{format}: export the map again"
            ) from None
        if meaning is not None and meaning[0] == FOREIGN:
            foreign.append(code)
        elif meaning is not None:
            known.append((code, meaning))
    number = np.zeros(len(counts), np.int32)
    number[[code for code, _ in known]] = np.arange(1, len(known) + 1)
    return Objects(
        number[codes],
        np.array([label for _, (label, _) in known], np.int64),
        np.array([crowd for _, (_, crowd) in known], bool),
        np.isin(codes, foreign) if foreign else None,
    )
