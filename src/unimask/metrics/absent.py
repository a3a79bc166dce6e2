"""Classes without a score, because neither ground truth nor predictions contain them."""

from collections.abc import Mapping

Scores = Mapping[str, float | None]


def split_absent(per_class: Mapping[str, Scores]) -> tuple[dict[str, Scores], list[str]]:
    """Return the classes that have a score, and the names of those without."""
    absent = [name for name, row in per_class.items() if all(v is None for v in row.values())]
    return {name: per_class[name] for name in per_class if name not in set(absent)}, absent


def describe_absent(absent: list[str], num_classes: int) -> str:
    """Describe the classes without a score; empty if there are none.

    Args:
        absent: Names of the classes without a score.
        num_classes: Number of all classes.
    """
    if not absent:
        return ""
    return f"{len(absent)} of {num_classes} classes have no score here: {', '.join(absent)}"
