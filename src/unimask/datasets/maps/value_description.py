"""Describe in words what the values of label maps mean, so that users notice a wrong guess."""

from collections.abc import Sequence

import numpy as np

from unimask.datasets.maps.classes import IGNORED, UNKNOWN, Classes
from unimask.datasets.maps.sampled_maps import MapStatistics

MAX_LISTED_VALUES = 6
"""Maximum number of values that are listed."""


def describe_values(classes: Classes, statistics: Sequence[MapStatistics]) -> str:
    """Describe which value is which class, and the share of pixels without a class.

    Args:
        classes: Classes of the maps' values.
        statistics: Sampled maps, from which shares are estimated.

    Returns:
        Continuation of a sentence, "; 0 is background, 255 is cell; 3.1 % of pixels ignored", or
            "".
    """
    names = classes.labels.names
    named_values = [
        (code, names[label]) for code, label in sorted(classes.label_of.items()) if label >= 0
    ]
    names_state_values = all(
        name == f"class {code}" for code, name in named_values
    )  # the names already state the values
    description = ""
    if not classes.coloured and not names_state_values:
        description += "; " + ", ".join(
            f"{code} is {name}" for code, name in named_values[:MAX_LISTED_VALUES]
        )
        description += ", ..." if len(named_values) > MAX_LISTED_VALUES else ""
    if (
        classes.threshold is not None
    ):  # with a threshold, every value belongs to one of the two classes
        return description
    among = "" if len(statistics) == 1 else f" of {len(statistics)} maps"
    for label, what in ((IGNORED, "ignored"), (UNKNOWN, "of no class")):
        share = label_share(classes, statistics, label)
        description += f"; {100 * share:.1f} % of the pixels{among} {what}" if share else ""
    return description


def label_share(classes: Classes, statistics: Sequence[MapStatistics], label: int) -> float:
    """Return the share of pixels whose value has a label id, or no class for `UNKNOWN`."""
    matching = pixels = 0
    for each in statistics:
        labels = [classes.label_of.get(value, UNKNOWN) for value in each.values.tolist()]
        matching += int(each.counts[np.array(labels) == label].sum())
        pixels += int(each.counts.sum())
    return matching / max(1, pixels)
