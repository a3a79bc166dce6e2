"""What names the classes of tables: their features, a file beside them, or their card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unimask.datasets.maps.class_table import ClassTable, Row, read_rows
from unimask.formats.text_file import LARGEST_YAML, parse_yaml

KEYS = ("id2label", "label2id")
"""What a card's head may say."""


def in_file(path: Path) -> list[ClassTable]:
    """Read `id2label.json`; nothing if it names no classes."""
    rows = tuple(read_rows(path))
    return [ClassTable(path, rows)] if rows else []


def in_card(path: Path) -> list[ClassTable]:
    """Read the classes that a dataset's card names in its head; nothing if it names none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        head = parse_yaml(text.split("---", 2)[1][:LARGEST_YAML]) if text[:3] == "---" else None
    except (OSError, IndexError, ValueError):
        return []
    content = head if isinstance(head, dict) else {}
    for key in KEYS:
        pairs = content.get(key)
        if isinstance(pairs, dict):
            turned = pairs.items() if key == "id2label" else ((v, k) for k, v in pairs.items())
            numbered = [(number, str(name)) for number, name in turned if is_number(number)]
            if numbered and len(numbered) == len(pairs):
                rows = tuple(Row(name, None, int(number)) for number, name in numbered)
                return [ClassTable(path, rows)]
    return []


def is_number(value: object) -> bool:
    """Say whether a card's value numbers a class."""
    return str(value).isdecimal()


def in_lists(features: Mapping[str, Any], place: Path) -> list[ClassTable]:
    """Give the names of a column that lists the classes a picture shows.

    One class for a whole picture says nothing of its pixels.
    """
    from datasets import ClassLabel, LargeList, List

    found = []
    for column, feature in features.items():
        inner: Any = feature.feature if isinstance(feature, List | LargeList) else None
        if isinstance(inner, ClassLabel):
            rows = tuple(Row(name, None, value) for value, name in enumerate(inner.names))
            found.append(ClassTable(place / column, rows))
    return found
