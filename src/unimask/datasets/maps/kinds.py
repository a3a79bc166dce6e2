"""Decide what the values of label maps are: class indices, colours, a binary mask, or object ids.

The decision uses statistics of sampled maps and is returned with its evidence. If the evidence fits
several readings, an error names the option that decides.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from unimask.datasets.maps.label_map import LOSSY
from unimask.datasets.maps.mask_set import BLACK, CUT, WHITE, first_file
from unimask.datasets.maps.sampled_maps import Glimpse
from unimask.datasets.maps.words import kind_from_names
from unimask.datasets.packed import file_path
from unimask.errors import DataError
from unimask.labels import IGNORE_LABEL

Kind = Literal["index", "colour", "binary", "ids"]

PAIR = 2
"""Number of classes of binary maps."""

JPEG = LOSSY - {".webp"}
"""Suffixes of files that are never lossless."""

STRAYS = 0.05
"""Maximum share of pixels of lossy binary masks that are neither black nor white."""

FLAT_EDGES = 0.2
"""Maximum share of the grey pixels of smoothed masks inside flat regions; greys at edges are not
flat."""

MANY_GREYS = 8
"""Minimum number of greys that show smoothed edges; fewer greys must cover less than white does."""

MANY = 8
"""Minimum number of objects in one map for values to be object ids rather than classes."""

FEW, COUNTS = 5, 4
"""Minimum number of objects in one map, and of different object counts, for values to be object ids
if the values of every map have no gaps."""

SINGLE = 0.9
"""Minimum share of values that are one connected component each, if they are object ids."""

SINGLE_IF_DEEP = 0.5
"""The same share for values of more than 8 bits, which classes seldom need."""

GAPLESS = 0.9
"""Minimum share of maps whose values are 1..n, for a small set of values to be object ids."""

CODED = (1000, 256)
"""Factors of the class in formats whose values are `factor * class + object number`."""

CODED_OBJECTS = 0.2
"""Maximum object number in such values, as a share of the factor."""

CHOICE = "give --format 'instance ids' or --format 'semantic maps' (format=)"


class Reading(NamedTuple):
    """Decision on what the values of maps are.

    Attributes:
        kind: Kind of the values.
        evidence: Reason for the decision as part of a sentence; empty if it is obvious.
        cut: Threshold at and above which a pixel is foreground, for files with blurred values; None
            for exact values.
    """

    kind: Kind
    evidence: str = ""
    cut: int | None = None


def read_meaning(
    seen: Sequence[Glimpse], *, classes: int, thinged: bool, semantic: bool
) -> Reading:
    """Decide what the values of maps are.

    - Files with several pages hold the mask of one object per page.
    - Colours other than greys are classes.
    - If a JSON file names a thing and a stuff, values are object ids.
    - Only 0 and 255, only 0 and 1, or black and white with greys along edges are a class and its
      background, unless a table has more than two classes.
    - With a class table beside the maps, values are classes.
    - Otherwise `read_objects` looks for object ids; all remaining values are classes.

    Args:
        seen: Sampled maps.
        classes: Number of classes in a table beside the maps, 0 without a table.
        thinged: Whether a JSON file names a thing and a stuff.
        semantic: Whether the user requests semantic maps.

    Raises:
        DataError: The values may be classes as well as object ids, or files may have changed them.
    """
    if any(each.paged for each in seen):
        pages = "each page of a file is the mask of one object"
        return Reading("binary", pages, cut=1) if semantic else Reading("ids", pages)
    if any(each.coloured for each in seen):
        return Reading("colour")
    if thinged and not semantic:
        return Reading("ids")
    if classes <= PAIR:
        binary = read_binary(seen)
        if binary is not None:
            return binary
    filled = [each for each in seen if each.pieces.size]
    if classes and filled and not semantic:
        refuse_coded(filled, sum(is_gapless(each) for each in filled))
    if classes or semantic:
        return Reading("index")
    refuse_blurred(seen)
    return read_objects(seen)


def refuse_blurred(seen: Sequence[Glimpse]) -> None:
    """Refuse JPEGs of more than a mask: compression replaced some of their values by others.

    Raises:
        DataError: A map is a JPEG.
    """
    blurred = [each.file for each in seen if each.file.suffix.lower() in JPEG]
    if blurred:
        raise DataError(
            f"{blurred[0]} is a JPEG with more values than black and white, and its compression "
            "changes values: save the labels as PNG, from their source"
        )


def read_binary(seen: Sequence[Glimpse]) -> Reading | None:
    """Detect maps of one class and its background; return None for other maps."""
    values, counts, flat = totals(seen)
    value_set = set(values.tolist())
    deep = any(each.deep for each in seen)
    if value_set in ({0, IGNORE_LABEL}, {0, 65535}):
        return Reading("binary")
    if value_set == {0, 1} and (not deep or any((each.pieces > 1).any() for each in seen)):
        return Reading("binary")
    if deep or not value_set or values[0] > BLACK or values[-1] < WHITE:
        return None
    between = (values > BLACK) & (values < WHITE)
    grey, white = int(counts[between].sum()), int(counts[values >= WHITE].sum())
    if all(each.file.suffix.lower() in LOSSY for each in seen):
        lossy = grey <= STRAYS * counts.sum()
        return Reading("binary", "cut at 128 because files are lossy", CUT) if lossy else None
    greys, whites = int(between.sum()), int((values >= WHITE).sum())
    smooth = len(values) > PAIR + 1 and grey > 0 and flat[between].sum() <= FLAT_EDGES * grey
    strayed = greys == 0 and whites > 1
    if strayed or (smooth and (greys >= MANY_GREYS or grey <= white)):
        share = 100 * (counts.sum() - counts[0] - counts[-1]) / counts.sum()
        return Reading(
            "binary",
            f"cut at 128: {len(values)} greys, but only black and white in regions, and "
            f"{share:.1f} % of the pixels between them, as smoothing and resizing leave",
            CUT,
        )
    return None


def totals(seen: Sequence[Glimpse]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the values of sampled maps with the pixel count and the flat pixel count of each."""
    values, place = np.unique(np.concatenate([e.values for e in seen]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([e.counts for e in seen]), len(values))
    whole = all(len(e.flat) == len(e.values) for e in seen)
    flat = np.concatenate([e.flat if whole else e.counts for e in seen])
    return values, counts, np.bincount(place, flat, len(values))


def read_objects(seen: Sequence[Glimpse]) -> Reading:
    """Decide whether values are object ids or classes.

    They are object ids if 90 % of them are one connected component each, the number of values
    differs between maps, and one of these holds: a map has eight or more, or a map has five or more
    with four different counts and no map has a gap. For values stored in more than 8 bits it
    suffices that half of them are one connected component each.

    Raises:
        DataError: There are fewer objects, so that classes would look the same, or a value holds a
            class and an object number.
    """
    filled = [each for each in seen if each.pieces.size]
    if not filled:
        return Reading("index")
    counts = [len(each.pieces) for each in filled]
    single = float((np.concatenate([each.pieces for each in filled]) == 1).mean())
    gapless = sum(map(is_gapless, filled))
    evidence = (
        f"values are 1..n without gaps in {gapless} of {len(filled)} maps, {100 * single:.0f} % of "
        f"them one connected piece each, {min(counts)} to {max(counts)} per map"
    )
    if any(each.deep for each in seen) and single >= SINGLE_IF_DEEP:
        refuse_coded(filled, gapless)
        return Reading("ids", evidence)
    varied = len(filled) == 1 or len(set(counts)) > 1
    if single < SINGLE or not varied or not any((each.values == 0).any() for each in seen):
        return Reading(
            "index",
            "" if single >= SINGLE else "values are classes, for some lie in several pieces",
        )
    different = len(np.unique(np.concatenate([each.values for each in filled])))
    unlimited = gapless >= GAPLESS * len(filled) or different > 2 * max(counts)
    if max(counts) >= MANY and unlimited:
        return Reading("ids", evidence)
    alike = gapless == len(filled) > 1 and max(counts) > 1
    if alike and max(counts) >= FEW and len(set(counts)) >= COUNTS:
        return Reading("ids", evidence)
    if alike or max(counts) >= MANY:
        return decided_by_name(seen, evidence)
    return Reading("index")


def is_gapless(each: Glimpse) -> bool:
    """Return whether the values of a map above 0 are 1..n."""
    return int(each.values[-1]) == len(each.pieces)


def decided_by_name(seen: Sequence[Glimpse], evidence: str) -> Reading:
    """Decide between object ids and classes by the name of the maps' folder.

    Raises:
        DataError: The name indicates neither.
    """
    path = file_path(first_file(seen[0].file))
    named = kind_from_names((path.parent.name, path.stem))
    if named is not None:
        word, kind = named
        return Reading(kind, f"{evidence}, and they are called {word}")
    raise DataError(
        f"{path.parent} holds maps whose values may number objects as well as classes "
        f"({evidence}): {CHOICE}"
    )


def refuse_coded(filled: Sequence[Glimpse], gapless: int) -> None:
    """Raise if each value holds a class and an object number.

    Raises:
        DataError: The values hold both; reading them as object ids alone would lose the class.
    """
    values = np.unique(np.concatenate([each.values for each in filled]))
    values = values[values > 0].astype(np.int64)
    for base in CODED:
        coded = (values >= base).mean() >= 0.5 and len(values) >= PAIR
        small = (values[values >= base] % base < CODED_OBJECTS * base).all()
        if coded and small and values[-1] < base * IGNORE_LABEL and gapless < len(filled):
            raise DataError(
                f"{filled[0].file} has values such as {values[-1]}, which look like {base} * class "
                f"+ number of an object: {CHOICE}; the first drops the classes, the second makes "
                "each value a class"
            )
