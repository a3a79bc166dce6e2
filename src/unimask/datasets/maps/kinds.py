"""The one rule for what the values of label maps are: classes, colours, a mask, or objects.

It looks at a sample of the maps, and returns the evidence beside what it decides. Where the
evidence fits several readings, it refuses and names the option that decides.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from unimask.datasets.maps.glimpses import Glimpse
from unimask.datasets.maps.label_map import LOSSY
from unimask.datasets.maps.mask_set import BLACK, CUT, WHITE, first_file
from unimask.datasets.maps.words import reading_named
from unimask.datasets.packed import path_of
from unimask.errors import DataError
from unimask.labels import IGNORE_LABEL

Kind = Literal["index", "colour", "binary", "ids"]

PAIR = 2
"""Classes of binary maps."""

STRAYS = 0.05
"""Share of the pixels of lossy binary masks that may be neither black nor white."""

FLAT_EDGES = 0.2
"""Share of the greys of smoothed masks that may lie in flat regions: edges are slopes."""

MANY_GREYS = 8
"""Greys that only slopes have; fewer must cover less than what is white."""

MANY = 8
"""Objects in some map that make numbers of objects likelier than classes."""

FEW, COUNTS = 5, 4
"""Objects in some map, and different numbers of objects, that do so where no map has a gap."""

SINGLE = 0.9
"""Share of values that must be one connected piece each for them to be objects."""

SINGLE_IF_DEEP = 0.5
"""The same where values have more than 8 bits, which classes seldom need."""

GAPLESS = 0.9
"""Share of maps whose values must be 1..n for a limited set of values to be objects."""

CODED = (1000, 256)
"""What a class is multiplied by where one value holds a class and an object's number."""

CODED_OBJECTS = 0.2
"""Share of these up to which numbers of objects count."""

CHOICE = "give --format 'instance ids' or --format 'semantic maps' (format=)"


class Reading(NamedTuple):
    """What maps hold.

    Attributes:
        kind: What values stand for.
        evidence: Why, as part of a sentence; empty where it needs no saying.
        cut: Value from which on pixels are foreground, where files blur their values.
    """

    kind: Kind
    evidence: str = ""
    cut: int | None = None


def read_meaning(
    seen: Sequence[Glimpse], *, classes: int, thinged: bool, semantic: bool
) -> Reading:
    """Decide what the values of maps stand for.

    - Pages of a file are objects.
    - Colours that are no greys are classes.
    - A JSON that names a thing and a stuff says that values are objects.
    - Only 0 and 255, only 0 and 1, or black and white with greys along the edges: a class and its
      background, if a table has not more classes.
    - With a table of classes beside them, values are classes.
    - Else `read_objects` looks for numbers of objects, and the rest are classes.

    Args:
        seen: Some maps.
        classes: Number of classes in a table beside them, 0 if there is none.
        thinged: Whether there is a JSON of thing and stuff.
        semantic: Whether the user says that the maps are semantic.

    Raises:
        DataError: Values may be classes as well as objects.
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
    return read_objects(seen)


def read_binary(seen: Sequence[Glimpse]) -> Reading | None:
    """Recognise maps of one class and its background; None for others."""
    values, counts, flat = totals(seen)
    found = set(values.tolist())
    deep = any(each.deep for each in seen)
    if found in ({0, IGNORE_LABEL}, {0, 65535}) or (found == {0, 1} and not deep):
        return Reading("binary")
    if deep or not found or values[0] > BLACK or values[-1] < WHITE:
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
    """Return the values of maps of numbers, and of each the pixels and the flat pixels."""
    values, place = np.unique(np.concatenate([e.values for e in seen]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([e.counts for e in seen]), len(values))
    whole = all(len(e.flat) == len(e.values) for e in seen)
    flat = np.concatenate([e.flat if whole else e.counts for e in seen])
    return values, counts, np.bincount(place, flat, len(values))


def read_objects(seen: Sequence[Glimpse]) -> Reading:
    """Decide whether values number objects.

    They do if nine of ten are one connected piece each, maps differ in how many they have, and
    either some map has eight or more, or five or more without a gap in any map and with four
    different counts. Where they are stored with more than 8 bits, it is enough that half are one
    connected piece each.

    Raises:
        DataError: There are fewer, and classes would look the same; or values hold a class and a
            number of an object.
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
    """Read maps whose values fit objects and classes by the name of their folder.

    Raises:
        DataError: It says neither.
    """
    path = path_of(first_file(seen[0].file))
    named = reading_named((path.parent.name, path.stem))
    if named is not None:
        word, kind = named
        return Reading(kind, f"{evidence}, and they are called {word}")
    raise DataError(
        f"{path.parent} holds maps whose values may number objects as well as classes "
        f"({evidence}): {CHOICE}"
    )


def refuse_coded(filled: Sequence[Glimpse], gapless: int) -> None:
    """Refuse values that hold a class and the number of an object.

    Raises:
        DataError: They do: as numbers of objects alone, they would lose the class.
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
