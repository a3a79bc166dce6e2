"""Sample label maps: their values, how values are distributed, and whether files may be blurred."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from unimask.datasets.maps.label_map import (
    LOSSY_SUFFIXES,
    Codes,
    is_grey,
    pack_colours,
    read_stored_map,
)
from unimask.datasets.maps.map_array import to_whole_numbers
from unimask.datasets.maps.map_file import ARRAY_SUFFIXES, MAX_COLOURS
from unimask.datasets.maps.mask_set import MapFile, MaskSet
from unimask.labels import IGNORE_LABEL
from unimask.processing.value_ranges import strip_slices

MAX_SAMPLED_MAPS = 16
"""Number of maps that are opened to determine what the maps hold."""

MIN_FLAT_SHARE = 0.75
"""Minimum share of equal neighbouring pixels for an image to be a label map."""


@dataclass(frozen=True, slots=True)
class MapStatistics:
    """Statistics of one sampled map.

    Attributes:
        file: The map.
        values: Values, or packed colours, that occur in the map, ascending.
        counts: Number of pixels of each value.
        flat_counts: Number of pixels of each value whose four neighbours have the same value; empty
            for colours.
        coloured: Whether `values` are packed colours.
        displayed_colours: Packed colour in which each value is displayed, by the palette or as a
            grey.
        is_deep: Whether the values need more than 8 bits.
        num_components: Number of connected components of each value above 0; empty for colours.
        is_paged: Whether the values are page numbers of the file, each page a mask.
    """

    file: MapFile
    values: np.ndarray
    counts: np.ndarray
    flat_counts: np.ndarray
    coloured: bool
    displayed_colours: np.ndarray
    is_deep: bool
    num_components: np.ndarray
    is_paged: bool = False


def sample_statistics(
    files: Sequence[MapFile], count: int = MAX_SAMPLED_MAPS
) -> list[MapStatistics]:
    """Sample some maps, evenly spaced over all of them.

    Raises:
        DataError: A map cannot be read.
    """
    sample = list(files)[:: -(-len(files) // count)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(map_statistics, sample))


def map_statistics(file: MapFile) -> MapStatistics:
    """Compute the statistics of one map."""
    pixels, palette, is_paged = read_stored_map(file)
    is_float = pixels.dtype.kind == "f"
    is_coloured = pixels.ndim == 3 and not is_grey(pixels)
    if is_coloured:
        codes = pack_colours(pixels)
    else:
        codes = to_whole_numbers(pixels[..., 0] if pixels.ndim == 3 else pixels, file)
    del pixels  # large maps must fit into memory
    values, counts = count_values(codes)
    has_few_values = not is_coloured and len(values) <= 4 * MAX_COLOURS
    num_components = count_components(codes, values) if has_few_values else np.zeros(0, np.int64)
    flat_counts = count_flat_pixels(codes, values) if has_few_values else np.zeros(0, np.int64)
    is_wide_by_default = (
        file.suffix.lower() in ARRAY_SUFFIXES or isinstance(file, MaskSet) or is_paged or is_float
    )
    is_deep = codes.dtype.itemsize > 1 and not is_wide_by_default
    is_deep = not is_coloured and (is_deep or bool(values.size and values[-1] > IGNORE_LABEL))
    displayed_colours = values if is_coloured else values.astype(np.int64) * 0x010101
    if palette is not None:
        displayed_colours = pack_colours(palette)[values]
    return MapStatistics(
        file,
        values,
        counts,
        flat_counts,
        is_coloured,
        displayed_colours,
        is_deep,
        num_components,
        is_paged,
    )


def count_values(codes: Codes) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of a map and the number of pixels of each, strip by strip."""
    parts = [np.unique(codes[rows], return_counts=True) for rows in strip_slices(codes)]
    if not parts:
        return np.unique(codes, return_counts=True)
    values, inverse = np.unique(np.concatenate([part for part, _ in parts]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, inverse, np.concatenate([count for _, count in parts]))
    return values, counts


def count_components(codes: Codes, values: np.ndarray) -> np.ndarray:
    """Count the connected components of each value above 0, with 8-connectivity."""
    boxes = ndimage.find_objects(np.searchsorted(values, codes).astype(np.int32) + 1)
    counts = [
        count_mask_components(codes[box] == value)
        for value, box in zip(values.tolist(), boxes, strict=True)
        if value != 0 and box is not None
    ]
    return np.array(counts, np.int64)


def count_mask_components(mask: Bool[np.ndarray, "h w"]) -> int:
    """Count the connected components of a mask, with 8-connectivity."""
    _, count = ndimage.label(mask, np.ones((3, 3)))  # type: ignore[misc]
    return int(count)


def count_flat_pixels(codes: Codes, values: np.ndarray) -> np.ndarray:
    """Count the pixels of each value whose upper, lower, left and right neighbours share it."""
    is_flat = np.ones(codes.shape, bool)
    equals_below, equals_right = codes[1:] == codes[:-1], codes[:, 1:] == codes[:, :-1]
    is_flat[1:] &= equals_below
    is_flat[:-1] &= equals_below
    is_flat[:, 1:] &= equals_right
    is_flat[:, :-1] &= equals_right
    return np.bincount(np.searchsorted(values, codes[is_flat]), minlength=len(values))


def are_label_maps(paths: Sequence[Path]) -> bool:
    """Return whether all files are label maps rather than photographs: most neighbours are equal.

    Files that cannot be read and files in a lossy format do not count as label maps.
    """
    return all(path.suffix.lower() not in LOSSY_SUFFIXES and is_label_map(path) for path in paths)


def is_label_map(path: Path) -> bool:
    """Return whether most pixels equal their right neighbour and few different values occur."""
    try:
        pixels = read_stored_map(path).pixels
    except Exception:  # whatever fails to decode is not a label map
        return False
    codes = pack_colours(pixels) if pixels.ndim == 3 else pixels
    has_few_values = len(np.unique(codes)) <= MAX_COLOURS
    return (
        has_few_values and bool((codes[:, 1:] == codes[:, :-1]).mean() >= MIN_FLAT_SHARE)
        if codes.size
        else False
    )
