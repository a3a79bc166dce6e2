"""Read the class names of tables from their features, a file beside them, or their dataset card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unimask.datasets.maps.class_table import ClassTable, Row, read_rows
from unimask.formats.text_file import MAX_YAML_BYTES, parse_yaml

CARD_KEYS = ("id2label", "label2id")
"""Keys of class names in the front matter of a dataset card."""

MAX_DIGITS = 9
"""Maximum number of digits of a class's number, so that maps of 32 bits can store it."""


def read_names_file(path: Path) -> list[ClassTable]:
    """Read `id2label.json`; return no table if it names no classes."""
    rows = tuple(read_rows(path))
    return [ClassTable(path, rows)] if rows else []


def read_dataset_card(path: Path) -> list[ClassTable]:
    """Read the class names in a dataset card's front matter; return no table if it names none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        head = parse_yaml(text.split("---", 2)[1][:MAX_YAML_BYTES]) if text[:3] == "---" else None
    except (OSError, IndexError, ValueError):
        return []
    content = head if isinstance(head, dict) else {}
    for key in CARD_KEYS:
        pairs = content.get(key)
        if isinstance(pairs, dict):
            items = pairs.items() if key == "id2label" else ((v, k) for k, v in pairs.items())
            numbered = [(number, str(name)) for number, name in items if is_number(number)]
            if numbered and len(numbered) == len(pairs):
                rows = tuple(Row(name, None, int(number)) for number, name in numbered)
                return [ClassTable(path, rows)]
    return []


def is_number(value: object) -> bool:
    """Return whether a value of a dataset card is the number of a class."""
    return str(value).isdecimal() and len(str(value)) <= MAX_DIGITS


def class_list_tables(features: Mapping[str, Any], place: Path) -> list[ClassTable]:
    """Return the class names of columns that list the classes of an image.

    A single class per image is not used, because it does not describe pixels.
    """
    from datasets import ClassLabel, LargeList, List

    tables = []
    for column, feature in features.items():
        inner: Any = feature.feature if isinstance(feature, List | LargeList) else None
        if isinstance(inner, ClassLabel):
            rows = tuple(Row(name, None, value) for value, name in enumerate(inner.names))
            tables.append(ClassTable(place / column, rows))
    return tables
