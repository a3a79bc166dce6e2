"""Classes without a score: neither in the truth nor found, so that no number is theirs."""

from collections.abc import Mapping

Scores = Mapping[str, float | None]


def split_absent(per_class: Mapping[str, Scores]) -> tuple[dict[str, Scores], list[str]]:
    """Give the classes with any score, and the names of those without."""
    absent = [name for name, row in per_class.items() if all(v is None for v in row.values())]
    return {name: per_class[name] for name in per_class if name not in set(absent)}, absent


def absent_in_words(absent: list[str], classes: int) -> str:
    """Name the classes without a score; empty if there are none.

    Args:
        absent: Their names.
        classes: How many classes there are in all.
    """
    if not absent:
        return ""
    return f"{len(absent)} of {classes} classes have no score here: {', '.join(absent)}"
