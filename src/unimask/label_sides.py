"""Left and right in class names: the classes that objects have in the mirrored image."""

import re
from collections.abc import Sequence

SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}
"""Words for a side, and the word for the other side."""

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
"""A word within a name such as `back_left_door`, `LeftDoor` or `R-EYE`."""


def mirrored_label_ids(names: Sequence[str]) -> tuple[int, ...]:
    """Return the label id that each class has in the mirrored image.

    `left_door` becomes `right_door` and `l_eye` becomes `r_eye` if both are classes; all other
    classes keep their label ids.
    """
    ids = {name: label_id for label_id, name in enumerate(names)}
    return tuple(ids.get(other_side(name), label_id) for label_id, name in enumerate(names))


def one_sided_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with "left" or "right" whose counterparts are not classes.

    An object of such a class has no class in the mirrored image.
    """
    known = set(names)
    return tuple(
        name
        for name in names
        if other_side(name) not in known
        and any(word.lower() in ("left", "right") for word in WORD.findall(name))
    )


def other_side(name: str) -> str:
    """Return a name with left and right exchanged, in the same spelling."""
    return WORD.sub(lambda match: exchange(match[0]), name)


def exchange(word: str) -> str:
    """Return the word for the other side, in the same case; any other word as it is."""
    other = SIDES.get(word.lower(), word)
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other
