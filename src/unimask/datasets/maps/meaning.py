"""What the values of label maps mean, in words: a wrong guess is seen before it is learned."""

from collections.abc import Sequence

import numpy as np

from unimask.datasets.maps.classes import IGNORED, UNKNOWN, Classes
from unimask.datasets.maps.glimpses import Glimpse

NAMED = 6
"""Values that are written out."""


def in_words(classes: Classes, seen: Sequence[Glimpse]) -> str:
    """Say which value is which class, and what share of the pixels has none.

    Args:
        classes: The meaning of maps.
        seen: Some maps, by which shares are estimated.

    Returns:
        More of a sentence, "; 0 is background, 255 is cell; 3.1 % of pixels ignored", or nothing.
    """
    names = classes.labels.names
    meant = [(code, names[label]) for code, label in sorted(classes.label_of.items()) if label >= 0]
    own = all(name == f"class {code}" for code, name in meant)  # then the names say it already
    told = ""
    if not classes.coloured and not own:
        told += "; " + ", ".join(f"{code} is {name}" for code, name in meant[:NAMED])
        told += ", ..." if len(meant) > NAMED else ""
    if classes.cut is not None:  # whatever the value, it is one of the two
        return told
    of = "" if len(seen) == 1 else f" of {len(seen)} maps"
    for label, what in ((IGNORED, "ignored"), (UNKNOWN, "of no class")):
        share = share_with(classes, seen, label)
        told += f"; {100 * share:.1f} % of the pixels{of} {what}" if share else ""
    return told


def share_with(classes: Classes, seen: Sequence[Glimpse], label: int) -> float:
    """Give the share of pixels whose value has a label, `UNKNOWN` for none."""
    found = pixels = 0
    for each in seen:
        labels = [classes.label_of.get(value, UNKNOWN) for value in each.values.tolist()]
        found += int(each.counts[np.array(labels) == label].sum())
        pixels += int(each.counts.sum())
    return found / max(1, pixels)
