"""Describe in words what the values of label maps mean, so that users notice a wrong guess."""

from collections.abc import Sequence

import numpy as np

from unimask.datasets.maps.classes import IGNORED, UNKNOWN, Classes
from unimask.datasets.maps.sampled_maps import MapStatistics

NAMED = 6
"""Maximum number of values that are listed."""


def in_words(classes: Classes, seen: Sequence[MapStatistics]) -> str:
    """Describe which value is which class, and the share of pixels without a class.

    Args:
        classes: Classes of the maps' values.
        seen: Sampled maps, from which shares are estimated.

    Returns:
        Continuation of a sentence, "; 0 is background, 255 is cell; 3.1 % of pixels ignored", or
            "".
    """
    names = classes.labels.names
    meant = [(code, names[label]) for code, label in sorted(classes.label_of.items()) if label >= 0]
    own = all(name == f"class {code}" for code, name in meant)  # the names already state the values
    description = ""
    if not classes.coloured and not own:
        description += "; " + ", ".join(f"{code} is {name}" for code, name in meant[:NAMED])
        description += ", ..." if len(meant) > NAMED else ""
    if classes.cut is not None:  # with a threshold, every value belongs to one of the two classes
        return description
    of = "" if len(seen) == 1 else f" of {len(seen)} maps"
    for label, what in ((IGNORED, "ignored"), (UNKNOWN, "of no class")):
        share = share_with(classes, seen, label)
        description += f"; {100 * share:.1f} % of the pixels{of} {what}" if share else ""
    return description


def share_with(classes: Classes, seen: Sequence[MapStatistics], label: int) -> float:
    """Return the share of pixels whose value has a label id, or no class for `UNKNOWN`."""
    matching = pixels = 0
    for each in seen:
        labels = [classes.label_of.get(value, UNKNOWN) for value in each.values.tolist()]
        matching += int(each.counts[np.array(labels) == label].sum())
        pixels += int(each.counts.sum())
    return matching / max(1, pixels)
