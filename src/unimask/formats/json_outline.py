"""Outline of a JSON file: its top-level keys and the types of their values, from a partial scan.

The format of a JSON file with labels (COCO, COCO panoptic, LabelMe, ...) is detected from its keys
and from the keys of the first items of its lists, in any order.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from unimask.formats.json_stream import JsonReader, open_json

MAX_SCANNED_CHARACTERS = 1 << 26
"""Number of characters after which the scan stops by default."""

MAX_VALUE_LENGTH = 1 << 25
"""Maximum length in characters of a single value in the scan; images in base64 are shorter."""

MAX_SAMPLED_ITEMS = 64
"""Number of items of a list whose keys are collected."""

Kind = Literal["object", "list", "value"]


@dataclass(frozen=True, slots=True)
class JsonOutline:
    """Result of the scan of a JSON file.

    Attributes:
        kind: Type of the whole file; "value" for anything except an object or a list.
        keys: Type of the value of each top-level key, in the order of the file.
        items: Keys of the first `MAX_SAMPLED_ITEMS` items of each list of objects, by the key
            of the list, which is "" if the whole file is a list.
        counts: Number of items of each list that were scanned.
        complete: Whether the scan reached the end of the file.
        error: Error that ended the scan; empty if there was none.
    """

    kind: Kind = "value"
    keys: Mapping[str, Kind] = field(default_factory=dict)
    items: Mapping[str, frozenset[str]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    complete: bool = False
    error: str = ""

    def may_have(self, key: str) -> bool:
        """Return whether the file has a key, or may have it after the scanned part."""
        return key in self.keys or not (self.complete or self.error)

    def item_keys(self, key: str) -> frozenset[str]:
        """Return the keys of the first objects in a list; empty if there are none."""
        return self.items.get(key, frozenset())


def read_json_outline(
    path: Path, budget: int = MAX_SCANNED_CHARACTERS, *, until: str = ""
) -> JsonOutline:
    """Scan the top level of a JSON file; results are cached until the file changes.

    The time is linear in the number of characters read, which `budget` limits, and at most one item
    of a list is in memory at a time. If a file cannot be opened or is not valid JSON, the result
    holds what precedes the error, and the message of the error.

    Args:
        path: JSON file in UTF-8, UTF-16 or UTF-32.
        budget: Number of characters after which the scan stops at the next item.
        until: Key of a list after whose first items the scan stops as well; empty for none.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return JsonOutline(error=str(error))
    return scan_file(str(path), budget, until, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1 << 16)
def scan_file(path: str, budget: int, until: str, changed: int, size: int) -> JsonOutline:
    """Scan a file; `changed` and `size` are cache keys that detect a changed file."""
    del changed, size
    state = OutlineScan(until)
    try:
        with open_json(Path(path)) as stream:
            state.complete = state.walk(JsonReader(stream, MAX_VALUE_LENGTH), budget)
    except OSError as error:
        state.error = error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        state.error = str(error)
    return JsonOutline(
        state.kind,
        state.keys,
        {key: frozenset(names) for key, names in state.items.items()},
        state.counts,
        state.complete,
        state.error,
    )


class OutlineScan:
    """State of a scan."""

    def __init__(self, until: str) -> None:
        self.until = until
        self.kind: Kind = "value"
        self.keys: dict[str, Kind] = {}
        self.items: dict[str, set[str]] = {}
        self.counts: dict[str, int] = {}
        self.complete = False
        self.error = ""

    def walk(self, reader: JsonReader, budget: int) -> bool:
        """Scan the file, and return whether its end was reached within the budget."""
        self.kind = peek_kind(reader)
        if self.kind == "list":
            return self.walk_list("", reader, budget)
        if self.kind == "value":
            reader.value()
            return True
        reader.expect("{")
        while reader.peek() != "}":
            key = reader.value()
            reader.expect(":")
            self.keys[str(key)] = kind = peek_kind(reader)
            if kind != "list":
                reader.value()
            elif not self.walk_list(str(key), reader, budget):
                return False
            if reader.offset > budget:
                return False
            if reader.peek() != "}":
                reader.expect(",")
        return True

    def walk_list(self, key: str, reader: JsonReader, budget: int) -> bool:
        """Scan one list, and return whether its end was reached within the budget."""
        self.counts[key] = 0
        reader.expect("[")
        while reader.peek() != "]":
            item: Any = reader.value()
            if isinstance(item, dict) and self.counts[key] < MAX_SAMPLED_ITEMS:
                self.items.setdefault(key, set()).update(item)
            self.counts[key] += 1
            sampled = key == self.until and self.counts[key] >= MAX_SAMPLED_ITEMS
            if sampled or reader.offset > budget:
                return False
            if reader.peek() != "]":
                reader.expect(",")
        reader.expect("]")
        return True


def peek_kind(reader: JsonReader) -> Kind:
    """Return the type of the next value."""
    return {"{": "object", "[": "list"}.get(reader.peek(), "value")  # type: ignore[return-value]
