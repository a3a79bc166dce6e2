"""Outline of a JSON file: its top-level keys and the types of their values, from a partial scan.

The format of a JSON file with labels (COCO, COCO panoptic, LabelMe, ...) is detected from its keys
and from the keys of the first items of its lists, in any order.
"""

import json
import os
import sys
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
"""Number of items of a list, and of top-level objects, whose keys are collected."""

SMALL_FILE_BYTES = 1 << 16
"""Maximum size in bytes of files that are parsed whole, which is faster than in parts."""

CACHE_SIZE = 1 << 18
"""Number of files whose outlines are cached: the formats inspect the same files in turn."""

Kind = Literal["object", "list", "value"]


@dataclass(frozen=True, slots=True)
class JsonOutline:
    """Result of the scan of a JSON file.

    Attributes:
        kind: Type of the whole file; "value" for anything except an object or a list.
        keys: Type of the value of each top-level key, in the order of the file.
        items: Keys of the first `MAX_SAMPLED_ITEMS` items of each list of objects, by the key
            of the list, which is "" if the whole file is a list.
        members: Keys of the first `MAX_SAMPLED_ITEMS` top-level values that are objects, by key.
        counts: Number of items of each list that were scanned.
        complete: Whether the scan reached the end of the file.
        error: Error that ended the scan; empty if there was none.
    """

    kind: Kind = "value"
    keys: Mapping[str, Kind] = field(default_factory=dict)
    items: Mapping[str, frozenset[str]] = field(default_factory=dict)
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    complete: bool = False
    error: str = ""

    def may_have(self, key: str) -> bool:
        """Return whether the file has a key, or may have it after the scanned part."""
        return key in self.keys or not (self.complete or self.error)

    def item_keys(self, key: str) -> frozenset[str]:
        """Return the keys of the first objects in a list; empty if there are none."""
        return self.items.get(key, frozenset())

    def member_keys(self, key: str) -> frozenset[str]:
        """Return the keys of an object under a top-level key; empty if there is none."""
        return self.members.get(key, frozenset())


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


@lru_cache(maxsize=CACHE_SIZE)
def scan_file(path: str, budget: int, until: str, changed: int, size: int) -> JsonOutline:
    """Scan a file; `changed` and `size` are cache keys that detect a changed file."""
    del changed
    is_small = 0 < size <= min(budget, SMALL_FILE_BYTES)  # devices and pipes have no size
    if is_small and not until and (outline := scan_small_file(path)) is not None:
        return outline
    state = OutlineScan(until)
    try:
        with open_json(Path(path)) as stream:
            state.complete = state.walk(JsonReader(stream, MAX_VALUE_LENGTH), budget)
    except OSError as error:
        state.error = error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        state.error = str(error)
    return state.outline()


def scan_small_file(path: str) -> JsonOutline | None:
    """Parse a whole file; None if it cannot be parsed, so that a scan finds what is valid."""
    try:
        with open(path, "rb") as stream:
            value = json.loads(stream.read(SMALL_FILE_BYTES + 1))
    except (OSError, ValueError, RecursionError):
        return None
    state = OutlineScan("")
    state.kind, state.complete = kind_of(value), True
    for key, item in value.items() if isinstance(value, dict) else [("", value)]:
        if isinstance(value, dict):
            state.keys[key] = kind_of(item)
            state.add_member(key, item)
        if isinstance(item, list):
            state.counts[key] = len(item)
            for member in item[:MAX_SAMPLED_ITEMS]:
                state.add_item(key, member)
    return state.outline()


@lru_cache(maxsize=1 << 12)
def shared_mapping(items: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    """Return one mapping for equal items: the files of a dataset mostly have the same keys."""
    return dict(items)


def share(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a mapping that equal mappings share, to cache the outlines of many files."""
    return shared_mapping(tuple((sys.intern(key), value) for key, value in mapping.items()))


class OutlineScan:
    """State of a scan."""

    def __init__(self, until: str) -> None:
        self.until = until
        self.kind: Kind = "value"
        self.keys: dict[str, Kind] = {}
        self.items: dict[str, set[str]] = {}
        self.members: dict[str, set[str]] = {}
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
                self.add_member(str(key), reader.value())
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
            if self.counts[key] < MAX_SAMPLED_ITEMS:
                self.add_item(key, item)
            self.counts[key] += 1
            sampled = key == self.until and self.counts[key] >= MAX_SAMPLED_ITEMS
            if sampled or reader.offset > budget:
                return False
            if reader.peek() != "]":
                reader.expect(",")
        reader.expect("]")
        return True

    def add_item(self, key: str, item: Any) -> None:
        """Collect the keys of an item of a list."""
        if isinstance(item, dict):
            self.items.setdefault(key, set()).update(item)

    def add_member(self, key: str, value: Any) -> None:
        """Collect the keys of a top-level value."""
        if isinstance(value, dict) and len(self.members) < MAX_SAMPLED_ITEMS:
            self.members[key] = set(list(value)[:MAX_SAMPLED_ITEMS])

    def outline(self) -> JsonOutline:
        """Return the result of the scan."""
        return JsonOutline(
            self.kind,
            share(self.keys),
            share({key: frozenset(map(sys.intern, names)) for key, names in self.items.items()}),
            share({key: frozenset(map(sys.intern, names)) for key, names in self.members.items()}),
            share(self.counts),
            self.complete,
            self.error,
        )


def kind_of(value: object) -> Kind:
    """Return the type of a parsed value."""
    return "object" if isinstance(value, dict) else "list" if isinstance(value, list) else "value"


def peek_kind(reader: JsonReader) -> Kind:
    """Return the type of the next value."""
    return {"{": "object", "[": "list"}.get(reader.peek(), "value")  # type: ignore[return-value]
