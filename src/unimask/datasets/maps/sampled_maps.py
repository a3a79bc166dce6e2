"""Sample label maps: their values, how values are distributed, and whether files may be blurred."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from unimask.datasets.maps.label_map import LOSSY, Codes, is_grey, packed, stored
from unimask.datasets.maps.map_array import to_whole_numbers
from unimask.datasets.maps.map_file import ARRAYS, COLOURS
from unimask.datasets.maps.mask_set import MapFile, MaskSet
from unimask.labels import IGNORE_LABEL

LOOKED_AT = 16
"""Number of maps that are opened to determine what the maps hold."""

FLAT = 0.75
"""Minimum share of equal neighbouring pixels for an image to be a label map."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Statistics of one sampled map.

    Attributes:
        file: The map.
        values: Values, or packed colours, that occur in the map, ascending.
        counts: Number of pixels of each value.
        flat: Number of pixels of each value whose four neighbours have the same value; empty for
            colours.
        coloured: Whether `values` are packed colours.
        shown: Packed colour in which each value is displayed, by the palette or as a grey.
        deep: Whether the values need more than 8 bits.
        pieces: Number of connected components of each value above 0; empty for colours.
        paged: Whether the values are page numbers of the file, each page a mask.
    """

    file: MapFile
    values: np.ndarray
    counts: np.ndarray
    flat: np.ndarray
    coloured: bool
    shown: np.ndarray
    deep: bool
    pieces: np.ndarray
    paged: bool = False


def glimpses(files: Sequence[MapFile], count: int = LOOKED_AT) -> list[Glimpse]:
    """Sample some maps, evenly spaced over all of them.

    Raises:
        DataError: A map cannot be read.
    """
    sample = list(files)[:: -(-len(files) // count)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(glimpse, sample))


def glimpse(file: MapFile) -> Glimpse:
    """Compute the statistics of one map."""
    pixels, palette, paged = stored(file)
    coloured = pixels.ndim == 3 and not is_grey(pixels)
    if coloured:
        codes = packed(pixels)
    else:
        codes = to_whole_numbers(pixels[..., 0] if pixels.ndim == 3 else pixels, file)
    values, counts = np.unique(codes, return_counts=True)
    few = not coloured and len(values) <= 4 * COLOURS
    pieces = count_pieces(codes, values) if few else np.zeros(0, np.int64)
    flat = count_flat(codes, values) if few else np.zeros(0, np.int64)
    floats = pixels.dtype.kind == "f"
    wide_by_habit = file.suffix.lower() in ARRAYS or isinstance(file, MaskSet) or paged or floats
    deep = codes.dtype.itemsize > 1 and not wide_by_habit
    deep = not coloured and (deep or bool(values.size and values[-1] > IGNORE_LABEL))
    shown = values if coloured else values.astype(np.int64) * 0x010101
    if palette is not None:
        shown = packed(palette)[values]
    return Glimpse(file, values, counts, flat, coloured, shown, deep, pieces, paged)


def count_pieces(codes: Codes, values: np.ndarray) -> np.ndarray:
    """Count the connected components of each value above 0, with 8-connectivity."""
    boxes = ndimage.find_objects(np.searchsorted(values, codes).astype(np.int32) + 1)
    pieces = [
        count_regions(codes[box] == value)
        for value, box in zip(values.tolist(), boxes, strict=True)
        if value != 0 and box is not None
    ]
    return np.array(pieces, np.int64)


def count_regions(mask: Bool[np.ndarray, "h w"]) -> int:
    """Count the connected components of a mask, with 8-connectivity."""
    _, count = ndimage.label(mask, np.ones((3, 3)))  # type: ignore[misc]
    return int(count)


def count_flat(codes: Codes, values: np.ndarray) -> np.ndarray:
    """Count the pixels of each value whose upper, lower, left and right neighbours share it."""
    flat = np.ones(codes.shape, bool)
    down, right = codes[1:] == codes[:-1], codes[:, 1:] == codes[:, :-1]
    flat[1:] &= down
    flat[:-1] &= down
    flat[:, 1:] &= right
    flat[:, :-1] &= right
    return np.bincount(np.searchsorted(values, codes[flat]), minlength=len(values))


def looks_like_maps(paths: Sequence[Path]) -> bool:
    """Return whether all files are label maps rather than photographs: most neighbours are equal.

    Files that cannot be read and files in a lossy format do not count as label maps.
    """
    return all(path.suffix.lower() not in LOSSY and is_flat(path) for path in paths)


def is_flat(path: Path) -> bool:
    """Return whether most pixels equal their right neighbour and few different values occur."""
    try:
        pixels = stored(path).pixels
    except Exception:  # whatever fails to decode is not a label map
        return False
    codes = packed(pixels) if pixels.ndim == 3 else pixels
    few = len(np.unique(codes)) <= COLOURS
    return few and bool((codes[:, 1:] == codes[:, :-1]).mean() >= FLAT) if codes.size else False
