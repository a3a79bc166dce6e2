"""Classes of the values in label maps of volumes."""

from collections import Counter
from collections.abc import Mapping, Sequence

from unimask.errors import DataError, SettingsError
from unimask.labels import BACKGROUND, LabelSet, is_background

MAX_LISTED = 8
"""Largest number of values that a message lists."""


def labels_from_values(names: Mapping[int, str], source: str) -> tuple[LabelSet, dict[int, int]]:
    """Return the label set of named values, the background first, and the label id of each value.

    Args:
        names: Name of each value except for ignored ones; 0 is the background.
        source: What names them, for messages.

    Raises:
        DataError: A name is used twice, or there is no other value than 0.
    """
    named = {0: BACKGROUND} | {value: name for value, name in sorted(names.items()) if value}
    if len(named) == 1:
        raise DataError(f"{source} names no label besides the background: add the structures")
    counts = Counter(named.values())
    if len(counts) < len(named):
        repeated = max(counts, key=lambda name: counts[name])
        raise DataError(f"{source} uses the name {repeated!r} twice: give each label its own")
    labels = LabelSet(tuple(named.values()), (False,) * len(named), category_ids=tuple(named))
    return labels, {value: label_id for label_id, value in enumerate(named)}


def name_values(values: Sequence[int], names: tuple[str, ...] | None) -> dict[int, str]:
    """Return the name of each value of label maps that name none.

    A single value is called "foreground", several are named after themselves.

    Args:
        values: Values besides 0.
        names: Names that the user gives, with or without the background.

    Raises:
        SettingsError: There is another number of names than values.
    """
    if names is None:
        single = len(values) == 1
        return {value: "foreground" if single else str(value) for value in values}
    given = names[1:] if names and is_background(names[0]) else names
    if len(given) != len(values):
        raise SettingsError(
            f"--names has {len(given)} names besides the background, but the label maps hold "
            f"{describe_values(values)}: pass one name for each"
        )
    return dict(zip(values, given, strict=True))


def describe_values(values: Sequence[int]) -> str:
    """Return values as text, such as "the value 3" or "the values 1, 2"."""
    shown = ", ".join(map(str, values[:MAX_LISTED]))
    more = f" and {len(values) - MAX_LISTED} more" if len(values) > MAX_LISTED else ""
    return f"the value{'' if len(values) == 1 else 's'} {shown}{more}"
