"""Scan all values or colours of label maps, and decide which values mark unlabelled pixels."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from unimask.datasets.maps.interpretation import sum_counts
from unimask.datasets.maps.label_map import (
    Codes,
    format_hex,
    read_colours,
    read_numbers,
    read_stored_map,
)
from unimask.datasets.maps.map_file import MAX_COLOURS
from unimask.datasets.maps.mask_set import MapFile, first_file
from unimask.datasets.maps.sampled_maps import MAX_SAMPLED_MAPS, MapStatistics, sample_statistics
from unimask.datasets.packed import file_path
from unimask.errors import DataError
from unimask.labels import IGNORE_LABEL

MAX_SCANNED_MAPS = 2000
"""Maximum number of maps that are scanned, evenly spaced over all of them."""

UNLABELLED_VALUES: tuple[int, ...] = (IGNORE_LABEL, 65535)
"""Values of unlabelled pixels in maps of 8 and of 16 bits."""

MAX_GREY_CLASSES = 8
"""Maximum number of classes that are drawn as greys from black to white."""

MIN_GREY_GAP, MAX_GREY_GAP_RATIO = 16, 4
"""Minimum distance of such greys, and maximum ratio of the largest distance to the smallest."""


def scan_values(files: Sequence[MapFile], *, coloured: bool) -> list[int]:
    """Return all values or packed colours of maps in ascending order.

    Raises:
        DataError: A map cannot be read, or has more colours than label maps have.
    """
    occurring: set[int] = set()
    with ThreadPoolExecutor() as pool:
        sample = files[:: -(-len(files) // MAX_SCANNED_MAPS)]
        for values in pool.map(partial(map_values, coloured=coloured), sample):
            occurring.update(values)
    if coloured:
        check_num_colours(len(occurring), file_path(first_file(files[0])).parent)
    return sorted(occurring)


def map_values(file: MapFile, *, coloured: bool) -> list[int]:
    """Return the values or packed colours of one map."""
    codes: Codes = read_colours(file) if coloured else read_numbers(file)
    starts = np.ones(codes.shape, bool)
    starts[:, 1:] = codes[:, 1:] != codes[:, :-1]  # sort only the first pixel of each run
    values = np.unique(codes[starts])
    if coloured:
        check_num_colours(len(values), file)
    return values.tolist()


def check_num_colours(count: int, source: object) -> None:
    """Raise if there are more colours than label maps have.

    Raises:
        DataError: There are too many colours.
    """
    if count > MAX_COLOURS:
        raise DataError(
            f"{source} has {count} colours, too many for label maps: save them as PNG, neither "
            "smoothed nor as JPEG"
        )


def sample_informative_maps(files: Sequence[MapFile]) -> list[MapStatistics]:
    """Sample some maps, and others if all pixels of the sample are alike.

    Raises:
        DataError: A map cannot be read, or all pixels of all maps are alike.
    """
    statistics = sample_statistics(files)
    if len(np.unique(np.concatenate([each.displayed_colours for each in statistics]))) > 1:
        return statistics
    first = np.asarray(read_stored_map(statistics[0].file).pixels[0, 0])
    with ThreadPoolExecutor() as pool:
        sample = files[:: -(-len(files) // MAX_SCANNED_MAPS)]
        different = pool.map(partial(differs_from, reference=first), sample)
        others = [file for file, other in zip(sample, different, strict=True) if other]
    if others:
        return [*statistics, *sample_statistics(others[:MAX_SAMPLED_MAPS])]
    only_value = int(statistics[0].values[0])
    what = f"colour {format_hex(only_value)}" if statistics[0].coloured else f"value {only_value}"
    raise DataError(
        f"nothing is labelled in {file_path(first_file(files[0])).parent}: every pixel of its "
        f"{len(files)} maps has {what}; check the export"
    )


def differs_from(file: MapFile, reference: np.ndarray) -> bool:
    """Return whether any pixel of a map differs in value or colour from `reference`."""
    pixels = read_stored_map(file).pixels
    return pixels.ndim - 2 != reference.ndim or bool((pixels != reference).any())


def are_grey_classes(values: Sequence[int]) -> bool:
    """Return whether values are a few greys spread from black to white, as in trimaps."""
    gaps = np.diff(values)
    if len(gaps) < 2 or gaps.min() < MIN_GREY_GAP or gaps.max() > MAX_GREY_GAP_RATIO * gaps.min():
        return False
    return len(values) <= MAX_GREY_CLASSES and values[0] == 0 and values[-1] == IGNORE_LABEL


def find_unlabelled_values(
    values: Sequence[int], statistics: Sequence[MapStatistics], names: tuple[str, ...] | None
) -> list[int]:
    """Return the values of unlabelled pixels: 255, or 65535 in 16-bit maps.

    255 is a class if it is the last of a few spread greys, the only value besides one other, or has
    a name of its own.

    Args:
        values: All values of the maps.
        statistics: Sampled maps.
        names: Class names given by the user, in the order of the values.

    Raises:
        DataError: There are two other values, and 255 covers more pixels than the second of them,
            or is in other maps than that, so that it may be the object itself.
    """
    unlabelled = [value for value in UNLABELLED_VALUES if value in values]
    others = [value for value in values if value not in unlabelled]
    if not unlabelled or (names is not None and len(names) == len(values)):
        return []
    if len(others) < 2 or are_grey_classes(values):
        return []
    if len(others) == 2 and names is None and unlabelled == [IGNORE_LABEL]:
        values_with_pixels, counts, _ = sum_counts(statistics)
        area = {
            int(value): int(count) for value, count in zip(values_with_pixels, counts, strict=True)
        }
        covers_more = area.get(IGNORE_LABEL, 0) > area.get(others[1], 0)
        if covers_more or are_in_different_maps(statistics, others[1], IGNORE_LABEL):
            share = [100 * area.get(value, 0) / sum(area.values()) for value in values]
            text = ", ".join(f"{v} ({s:.1f} %)" for v, s in zip(values, share, strict=True))
            raise DataError(
                f"{file_path(first_file(statistics[0].file)).parent} holds maps of the values "
                f"{text}: 255 may be the object itself or mean that nothing is known; pass "
                "--names (names=) with one name per value, in their order, and 'void' for what "
                "is unknown"
            )
    return unlabelled


def are_in_different_maps(statistics: Sequence[MapStatistics], one: int, other: int) -> bool:
    """Return whether several maps have each of two values, but none has both.

    This is the case for masks of 0 and 1 beside masks of 0 and 255: both values mark the object.
    """
    occurrences = [(one in each.values, other in each.values) for each in statistics]
    return occurrences.count((True, False)) > 1 < occurrences.count((False, True)) and (
        (True, True) not in occurrences
    )
