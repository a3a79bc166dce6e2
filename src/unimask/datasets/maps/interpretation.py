"""Decide what the values of label maps are: class indices, colours, a binary mask, or object ids.

The decision uses statistics of sampled maps and is returned with its evidence. If the evidence fits
several readings, an error names the option that decides.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from unimask.datasets.maps.folder_words import kind_from_names
from unimask.datasets.maps.label_map import LOSSY_SUFFIXES
from unimask.datasets.maps.mask_set import MASK_THRESHOLD, MAX_BLACK, MIN_WHITE, first_file
from unimask.datasets.maps.sampled_maps import MapStatistics
from unimask.datasets.packed import file_path
from unimask.errors import DataError
from unimask.labels import IGNORE_LABEL

MapKind = Literal["index", "colour", "binary", "ids"]

BINARY_CLASSES = 2
"""Number of classes of binary maps."""

JPEG_SUFFIXES = LOSSY_SUFFIXES - {".webp"}
"""Suffixes of files that are never lossless."""

MAX_GREY_SHARE = 0.05
"""Maximum share of pixels of lossy binary masks that are neither black nor white."""

MAX_FLAT_GREY_SHARE = 0.2
"""Maximum share of the grey pixels of smoothed masks inside flat regions; greys at edges are not
flat."""

MIN_EDGE_GREYS = 8
"""Minimum number of greys that show smoothed edges; fewer greys must cover less than white does."""

MIN_OBJECTS = 8
"""Minimum number of objects in one map for values to be object ids rather than classes."""

MIN_GAPLESS_OBJECTS, MIN_OBJECT_COUNTS = 5, 4
"""Minimum number of objects in one map, and of different object counts, for values to be object ids
if the values of every map have no gaps."""

MIN_CONNECTED_SHARE = 0.9
"""Minimum share of values that are one connected component each, if they are object ids."""

MIN_CONNECTED_SHARE_DEEP = 0.5
"""The same share for values of more than 8 bits, which classes seldom need."""

MIN_GAPLESS_SHARE = 0.9
"""Minimum share of maps whose values are 1..n, for a small set of values to be object ids."""

CLASS_FACTORS = (1000, 256)
"""Factors of the class in formats whose values are `factor * class + object number`."""

MAX_OBJECT_SHARE = 0.2
"""Maximum object number in such values, as a share of the factor."""

FORMAT_ADVICE = "pass --format 'instance ids' or --format 'semantic maps' (format=)"


class Interpretation(NamedTuple):
    """Decision on what the values of maps are.

    Attributes:
        kind: Kind of the values.
        evidence: Reason for the decision as part of a sentence; empty if it is obvious.
        threshold: Threshold at and above which a pixel is foreground, for files with blurred
            values; None for exact values.
    """

    kind: MapKind
    evidence: str = ""
    threshold: int | None = None


def interpret_maps(
    statistics: Sequence[MapStatistics], *, classes: int, has_thing_names: bool, is_semantic: bool
) -> Interpretation:
    """Decide what the values of maps are.

    - Files with several pages hold the mask of one object per page.
    - Colours other than greys are classes.
    - If a JSON file names a thing and a stuff, values are object ids.
    - Only 0 and 255, only 0 and 1, or black and white with greys along edges are a class and its
      background, unless a table has more than two classes.
    - With a class table beside the maps, values are classes.
    - Otherwise `interpret_objects` looks for object ids; all remaining values are classes.

    Args:
        statistics: Sampled maps.
        classes: Number of classes in a table beside the maps, 0 without a table.
        has_thing_names: Whether a JSON file names a thing and a stuff.
        is_semantic: Whether the user requests semantic maps.

    Raises:
        DataError: The values may be classes as well as object ids, or files may have changed them.
    """
    if any(each.is_paged for each in statistics):
        pages = "each page of a file is the mask of one object"
        return (
            Interpretation("binary", pages, threshold=1)
            if is_semantic
            else Interpretation("ids", pages)
        )
    if any(each.coloured for each in statistics):
        return Interpretation("colour")
    if has_thing_names and not is_semantic:
        return Interpretation("ids")
    if classes <= BINARY_CLASSES:
        binary = interpret_binary(statistics)
        if binary is not None:
            return binary
    labelled = [each for each in statistics if each.num_components.size]
    if classes and labelled and not is_semantic:
        check_class_codes(labelled, sum(is_gapless(each) for each in labelled))
    if classes or is_semantic:
        return Interpretation("index")
    check_compression(statistics)
    return interpret_objects(statistics)


def check_compression(statistics: Sequence[MapStatistics]) -> None:
    """Refuse JPEGs of more than a mask: compression replaced some of their values by others.

    Raises:
        DataError: A map is a JPEG.
    """
    jpegs = [each.file for each in statistics if each.file.suffix.lower() in JPEG_SUFFIXES]
    if jpegs:
        raise DataError(
            f"{jpegs[0]} is a JPEG with more values than black and white, and its compression "
            "changes values: save the labels as PNG, from their source"
        )


def interpret_binary(statistics: Sequence[MapStatistics]) -> Interpretation | None:
    """Detect maps of one class and its background; return None for other maps."""
    values, counts, flat = sum_counts(statistics)
    value_set = set(values.tolist())
    is_deep = any(each.is_deep for each in statistics)
    if value_set in ({0, IGNORE_LABEL}, {0, 65535}):
        return Interpretation("binary")
    if value_set == {0, 1} and (
        not is_deep or any((each.num_components > 1).any() for each in statistics)
    ):
        return Interpretation("binary")
    if is_deep or not value_set or values[0] > MAX_BLACK or values[-1] < MIN_WHITE:
        return None
    between = (values > MAX_BLACK) & (values < MIN_WHITE)
    grey_pixels, white_pixels = int(counts[between].sum()), int(counts[values >= MIN_WHITE].sum())
    if all(each.file.suffix.lower() in LOSSY_SUFFIXES for each in statistics):
        is_binary = grey_pixels <= MAX_GREY_SHARE * counts.sum()
        return (
            Interpretation("binary", "cut at 128 because files are lossy", MASK_THRESHOLD)
            if is_binary
            else None
        )
    num_greys, num_whites = int(between.sum()), int((values >= MIN_WHITE).sum())
    is_smoothed = (
        len(values) > BINARY_CLASSES + 1
        and grey_pixels > 0
        and flat[between].sum() <= MAX_FLAT_GREY_SHARE * grey_pixels
    )
    has_near_whites = num_greys == 0 and num_whites > 1
    if has_near_whites or (
        is_smoothed and (num_greys >= MIN_EDGE_GREYS or grey_pixels <= white_pixels)
    ):
        share = 100 * (counts.sum() - counts[0] - counts[-1]) / counts.sum()
        return Interpretation(
            "binary",
            f"cut at 128: {len(values)} greys, but only black and white in regions, and "
            f"{share:.1f} % of the pixels between them, as smoothing and resizing leave",
            MASK_THRESHOLD,
        )
    return None


def sum_counts(statistics: Sequence[MapStatistics]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the values of sampled maps with the pixel count and the flat pixel count of each."""
    values, index = np.unique(np.concatenate([e.values for e in statistics]), return_inverse=True)
    counts = np.bincount(index, np.concatenate([e.counts for e in statistics]), len(values))
    has_flat_counts = all(len(e.flat_counts) == len(e.values) for e in statistics)
    flat = np.concatenate([e.flat_counts if has_flat_counts else e.counts for e in statistics])
    return values, counts, np.bincount(index, flat, len(values))


def interpret_objects(statistics: Sequence[MapStatistics]) -> Interpretation:
    """Decide whether values are object ids or classes.

    They are object ids if 90 % of them are one connected component each, the number of values
    differs between maps, and one of these holds: a map has eight or more, or a map has five or more
    with four different counts and no map has a gap. For values stored in more than 8 bits it
    suffices that half of them are one connected component each.

    Raises:
        DataError: There are fewer objects, so that classes would look the same, or a value holds a
            class and an object number.
    """
    labelled = [each for each in statistics if each.num_components.size]
    if not labelled:
        return Interpretation("index")
    counts = [len(each.num_components) for each in labelled]
    connected_share = float(
        (np.concatenate([each.num_components for each in labelled]) == 1).mean()
    )
    num_gapless = sum(map(is_gapless, labelled))
    evidence = (
        f"values are 1..n without gaps in {num_gapless} of {len(labelled)} maps, "
        f"{100 * connected_share:.0f} % of "
        f"them one connected piece each, {min(counts)} to {max(counts)} per map"
    )
    if any(each.is_deep for each in statistics) and connected_share >= MIN_CONNECTED_SHARE_DEEP:
        check_class_codes(labelled, num_gapless)
        return Interpretation("ids", evidence)
    counts_vary = len(labelled) == 1 or len(set(counts)) > 1
    if (
        connected_share < MIN_CONNECTED_SHARE
        or not counts_vary
        or not any((each.values == 0).any() for each in statistics)
    ):
        return Interpretation(
            "index",
            ""
            if connected_share >= MIN_CONNECTED_SHARE
            else "values are classes, for some lie in several pieces",
        )
    num_values = len(np.unique(np.concatenate([each.values for each in labelled])))
    values_grow = num_gapless >= MIN_GAPLESS_SHARE * len(labelled) or num_values > 2 * max(counts)
    if max(counts) >= MIN_OBJECTS and values_grow:
        return Interpretation("ids", evidence)
    all_gapless = num_gapless == len(labelled) > 1 and max(counts) > 1
    if all_gapless and max(counts) >= MIN_GAPLESS_OBJECTS and len(set(counts)) >= MIN_OBJECT_COUNTS:
        return Interpretation("ids", evidence)
    if all_gapless or max(counts) >= MIN_OBJECTS:
        return interpret_by_name(statistics, evidence)
    return Interpretation("index")


def is_gapless(statistics: MapStatistics) -> bool:
    """Return whether the values of a map above 0 are 1..n."""
    return int(statistics.values[-1]) == len(statistics.num_components)


def interpret_by_name(statistics: Sequence[MapStatistics], evidence: str) -> Interpretation:
    """Decide between object ids and classes by the name of the maps' folder.

    Raises:
        DataError: The name indicates neither.
    """
    path = file_path(first_file(statistics[0].file))
    named_kind = kind_from_names((path.parent.name, path.stem))
    if named_kind is not None:
        word, kind = named_kind
        return Interpretation(kind, f"{evidence}, and they are called {word}")
    raise DataError(
        f"{path.parent} holds maps whose values may number objects as well as classes "
        f"({evidence}): {FORMAT_ADVICE}"
    )


def check_class_codes(labelled: Sequence[MapStatistics], num_gapless: int) -> None:
    """Raise if each value holds a class and an object number.

    Raises:
        DataError: The values hold both; reading them as object ids alone would lose the class.
    """
    values = np.unique(np.concatenate([each.values for each in labelled]))
    values = values[values > 0].astype(np.int64)
    for base in CLASS_FACTORS:
        has_classes = (values >= base).mean() >= 0.5 and len(values) >= BINARY_CLASSES
        has_small_numbers = (values[values >= base] % base < MAX_OBJECT_SHARE * base).all()
        if (
            has_classes
            and has_small_numbers
            and values[-1] < base * IGNORE_LABEL
            and num_gapless < len(labelled)
        ):
            raise DataError(
                f"{labelled[0].file} has values such as {values[-1]}, which look like {base} * "
                f"class + number of an object: {FORMAT_ADVICE}; the first drops the classes, the "
                "second makes each value a class"
            )
