"""Read images with maps of segment ids, each of which has a class."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from unimask.datasets.interface import DatasetInfo, DatasetOptions
from unimask.datasets.maps.dataset import MapDataset, Objects
from unimask.datasets.maps.mask_set import MapFile
from unimask.datasets.maps.partners import Pairs
from unimask.errors import DataError
from unimask.labels import LabelSet

ReadSegments = Callable[[MapFile], Integer[np.ndarray, "h w"]]
"""Function that reads a map as segment ids, from 0 to less than 2^24."""

SegmentClass = tuple[int, bool] | None
"""Label id of a segment and whether it is a crowd of several objects; None for ignored pixels."""

MAX_SEGMENT_ID = 2**24
"""Exclusive upper bound of segment ids."""

FOREIGN = -1
"""Label id of objects whose class is not in the label set: ignored, and in `Sample.foreign`."""

ClassifySegment = Callable[[int], SegmentClass]
"""Function that returns the meaning of a segment id, or raises KeyError if it has none."""


def open_segment_maps(
    pairs: Pairs,
    folder: Path,
    labels: LabelSet,
    read: ReadSegments,
    classify: ClassifySegment,
    info: DatasetInfo,
    options: DatasetOptions,
) -> MapDataset:
    """Build a dataset of images with segments of things and stuff, from maps of segment ids.

    Args:
        pairs: Images and their maps.
        folder: Folder of the dataset.
        labels: Label set of the dataset.
        read: Function that reads a map as segment ids.
        classify: Function that returns the meaning of a segment id.
        info: Description of the dataset.
        options: Options with the images' channels.
    """
    read_objects = partial(read_segments, read, classify, info.format)
    return MapDataset(pairs, folder, labels, read_objects, info, options)


def read_segments(
    read: ReadSegments, classify: ClassifySegment, format: str, file: MapFile
) -> Objects:
    """Read a map: one object per segment id that has a class.

    Raises:
        DataError: The map cannot be read, or has an id without a meaning.
    """
    codes = read(file)
    if codes.size and codes.max() >= MAX_SEGMENT_ID:
        raise DataError(
            f"{file} has value {codes.max()}, which means nothing in {format}: export the map again"
        )
    counts = np.bincount(codes.ravel())
    segments: list[tuple[int, tuple[int, bool]]] = []
    foreign: list[int] = []
    for code in np.flatnonzero(counts).tolist():
        try:
            meaning = classify(code)
        except KeyError:
            raise DataError(
                f"{file} has value {code} ({counts[code]} pixels), which means nothing in "
                f"{format}: export the map again"
            ) from None
        if meaning is not None and meaning[0] == FOREIGN:
            foreign.append(code)
        elif meaning is not None:
            segments.append((code, meaning))
    number = np.zeros(len(counts), np.int32)
    number[[code for code, _ in segments]] = np.arange(1, len(segments) + 1)
    return Objects(
        number[codes],
        np.array([label for _, (label, _) in segments], np.int64),
        np.array([crowd for _, (_, crowd) in segments], bool),
        np.isin(codes, foreign) if foreign else None,
        ids=np.array([code for code, _ in segments], np.int64),
    )
