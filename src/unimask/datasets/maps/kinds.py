"""What the values of label maps stand for, found by looking at some of them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from unimask.datasets.maps.label_map import LOSSY, Codes, is_grey, packed, stored
from unimask.datasets.packed import File
from unimask.labels import IGNORE_LABEL

Kind = Literal["index", "colour", "binary", "ids"]

LOOKED_AT = 16
"""Maps that are opened to tell what they hold."""

PAIR = 2
"""Classes of binary maps."""

MANY = 8
"""Objects that some map must have for its values to be objects rather than classes."""

SINGLE = 0.9
"""Share of values that must be one connected piece each for them to be objects."""

SINGLE_IF_DEEP = 0.5
"""The same where values have more than 8 bits, which classes seldom need."""

NEAR = 24
"""Distance from black or white up to which blurred binary masks stray."""

FLAT = 0.75
"""Share of equal neighbours from which on a picture may be a label map."""

COLOURS = 256
"""Colours of a label map at most."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What one map shows.

    Attributes:
        file: The map.
        values: Its values, or its packed colours.
        counts: Pixels of each.
        coloured: Whether they are colours.
        shown: The packed colour in which each is seen, by the palette or as a grey.
        deep: Whether its numbers are wider than 8 bits.
        pieces: Connected pieces per value above 0, of number maps.
    """

    file: File
    values: np.ndarray
    counts: np.ndarray
    coloured: bool
    shown: np.ndarray
    deep: bool
    pieces: np.ndarray


def glimpses(files: Sequence[File], count: int = LOOKED_AT) -> list[Glimpse]:
    """Look at some maps, spread over all of them.

    Raises:
        DataError: One cannot be read.
    """
    chosen = list(files)[:: -(-len(files) // count)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(glimpse, chosen))


def glimpse(file: File) -> Glimpse:
    """Look at one map."""
    pixels, palette = stored(file)
    coloured = pixels.ndim == 3 and not is_grey(pixels)
    codes = packed(pixels) if coloured else (pixels[..., 0] if pixels.ndim == 3 else pixels)
    values, counts = np.unique(codes, return_counts=True)
    few = not coloured and len(values) <= 4 * COLOURS
    pieces = count_pieces(codes, values) if few else np.zeros(0, np.int64)
    deep = codes.dtype.itemsize > 1 and file.suffix.lower() != ".npy"  # arrays are wide by habit
    deep = not coloured and (deep or bool(values.size and values[-1] > IGNORE_LABEL))
    shown = values if coloured else values.astype(np.int64) * 0x010101
    if palette is not None:
        shown = packed(palette)[values]
    return Glimpse(file, values, counts, coloured, shown, deep, pieces)


def count_pieces(codes: Codes, values: np.ndarray) -> np.ndarray:
    """Count the connected pieces of each value above 0; touching corners connect."""
    found = ndimage.find_objects(np.searchsorted(values, codes).astype(np.int32) + 1)
    pieces = [
        count_regions(codes[box] == value)
        for value, box in zip(values.tolist(), found, strict=True)
        if value != 0 and box is not None
    ]
    return np.array(pieces, np.int64)


def count_regions(mask: Bool[np.ndarray, "h w"]) -> int:
    """Count the connected pieces of a mask."""
    _, count = ndimage.label(mask, np.ones((3, 3)))  # type: ignore[misc]
    return int(count)


def looks_like_maps(paths: Sequence[Path]) -> bool:
    """Say whether files are label maps rather than photographs: most neighbours are equal.

    Files that cannot be read, and those that may blur labels, are none.
    """
    return all(path.suffix.lower() not in LOSSY and is_flat(path) for path in paths)


def is_flat(path: Path) -> bool:
    """Say whether most pixels have the value of their right neighbour, and there are few values."""
    try:
        pixels, _ = stored(path)
    except Exception:  # whatever it is, it is no label map
        return False
    codes = packed(pixels) if pixels.ndim == 3 else pixels
    few = len(np.unique(codes)) <= COLOURS
    return few and bool((codes[:, 1:] == codes[:, :-1]).mean() >= FLAT) if codes.size else False


def kind_of(seen: Sequence[Glimpse], *, classes: int, thinged: bool) -> Kind:
    """Say what the values of maps stand for.

    - Colours that are no greys are classes.
    - A JSON that names a thing and a stuff says that values are objects.
    - Only 0 and 255, only 0 and 1, or greys that a lossy file strewed around black and white: a
      class and its background, if a table has not more classes.
    - With a table of classes beside them, values are classes.
    - Values are objects if nine of ten are one connected piece each, some map has eight or more,
      and their number is not the same in all maps. Where they are stored with more than 8 bits, it
      is enough that half are one connected piece each. Else they are classes.

    Args:
        seen: Some maps.
        classes: How many a table beside them has, 0 if there is none.
        thinged: Whether there is a JSON of thing and stuff.
    """
    if any(each.coloured for each in seen):
        return "colour"
    if thinged:
        return "ids"
    if classes <= PAIR and is_binary(seen):
        return "binary"
    if classes:
        return "index"
    return "ids" if are_objects(seen) else "index"


def is_binary(seen: Sequence[Glimpse]) -> bool:
    """Say whether maps hold one class and its background."""
    values = np.unique(np.concatenate([each.values for each in seen]))
    if any(each.deep for each in seen) or not values.size:
        return False
    if set(values.tolist()) in ({0, 255}, {0, 1}):
        return True
    strays = sum(
        int(each.counts[(each.values > NEAR) & (each.values < IGNORE_LABEL - NEAR)].sum())
        for each in seen
    )
    lossy = all(each.file.suffix.lower() in LOSSY for each in seen)
    return lossy and strays <= 0.05 * sum(int(each.counts.sum()) for each in seen)


def are_objects(seen: Sequence[Glimpse]) -> bool:
    """Say whether values number objects, by their connected pieces and by how many there are."""
    numbers = [len(each.pieces) for each in seen]
    pieces = np.concatenate([each.pieces for each in seen])
    single = float((pieces == 1).mean()) if pieces.size else 1.0
    if any(each.deep for each in seen):
        return single >= SINGLE_IF_DEEP
    varied = len(numbers) == 1 or len(set(numbers)) > 1
    return single >= SINGLE and max(numbers) >= MANY and varied
