"""The top level of a JSON file: which keys it has and what lies under them, without reading it all.

What a JSON of labels is (COCO, COCO panoptic, LabelMe, something else) is decided by its keys and
by the keys of the first items of its lists, in whatever order they come.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from unimask.formats.json_stream import Reader, open_json

BUDGET = 1 << 26
"""Characters after which the scan stops, unless the caller asks for fewer."""

LONGEST = 1 << 25
"""Characters of the longest single value that the scan reads; images in base64 are shorter."""

SAMPLED = 64
"""Items of a list whose keys are noted."""

Kind = Literal["object", "list", "value"]


@dataclass(frozen=True, slots=True)
class JsonOutline:
    """What the scan of a JSON file found.

    Attributes:
        kind: What the whole file is; "value" for anything but an object or a list.
        keys: Each top-level key and the kind of its value, in the order of the file.
        items: Keys of the first `SAMPLED` items of each list that holds objects, by the list's
            key; that of a file which is a list itself is "".
        counts: Items of each list, as far as it was scanned.
        complete: The scan reached the end of the file.
        fault: Why the file is no JSON after what was found; empty if no fault was met.
    """

    kind: Kind = "value"
    keys: Mapping[str, Kind] = field(default_factory=dict)
    items: Mapping[str, frozenset[str]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    complete: bool = False
    fault: str = ""

    def may_have(self, key: str) -> bool:
        """Return whether the file has a key, or may have it behind what was scanned."""
        return key in self.keys or not (self.complete or self.fault)

    def item_keys(self, key: str) -> frozenset[str]:
        """Return the keys of the first objects in a list; empty where none were found."""
        return self.items.get(key, frozenset())


def json_outline(path: Path, budget: int = BUDGET) -> JsonOutline:
    """Scan the top level of a JSON file; results are cached until the file changes.

    The time is linear in the number of characters read, which `budget` limits, and no more than
    one item of a list is in memory at a time. A file that cannot be opened or is no JSON gives what
    was found before the fault, and `fault`.

    Args:
        path: The file, in UTF-8, UTF-16 or UTF-32.
        budget: Characters after which the scan stops at the next item.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return JsonOutline(fault=str(error))
    return scan(str(path), budget, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1 << 16)
def scan(path: str, budget: int, changed: int, size: int) -> JsonOutline:
    """Scan a file; `changed` and `size` are there to tell a changed file from the cached one."""
    del changed, size
    found = Scan()
    try:
        with open_json(Path(path)) as stream:
            found.complete = found.walk(Reader(stream, LONGEST), budget)
    except OSError as error:
        found.fault = error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        found.fault = str(error)
    return JsonOutline(
        found.kind,
        found.keys,
        {key: frozenset(names) for key, names in found.items.items()},
        found.counts,
        found.complete,
        found.fault,
    )


class Scan:
    """What the scan has found so far."""

    def __init__(self) -> None:
        self.kind: Kind = "value"
        self.keys: dict[str, Kind] = {}
        self.items: dict[str, set[str]] = {}
        self.counts: dict[str, int] = {}
        self.complete = False
        self.fault = ""

    def walk(self, reader: Reader, budget: int) -> bool:
        """Scan the file, and return whether its end was reached within the budget."""
        self.kind = kind_at(reader)
        if self.kind == "list":
            return self.walk_list("", reader, budget)
        if self.kind == "value":
            reader.value()
            return True
        reader.expect("{")
        while reader.peek() != "}":
            key = reader.value()
            reader.expect(":")
            self.keys[str(key)] = kind = kind_at(reader)
            if kind != "list":
                reader.value()
            elif not self.walk_list(str(key), reader, budget):
                return False
            if reader.offset > budget:
                return False
            if reader.peek() != "}":
                reader.expect(",")
        return True

    def walk_list(self, key: str, reader: Reader, budget: int) -> bool:
        """Scan one list, and return whether its end was reached within the budget."""
        self.counts[key] = 0
        reader.expect("[")
        while reader.peek() != "]":
            item: Any = reader.value()
            if isinstance(item, dict) and self.counts[key] < SAMPLED:
                self.items.setdefault(key, set()).update(item)
            self.counts[key] += 1
            if reader.offset > budget:
                return False
            if reader.peek() != "]":
                reader.expect(",")
        reader.expect("]")
        return True


def kind_at(reader: Reader) -> Kind:
    """Return the kind of the value that comes next."""
    return {"{": "object", "[": "list"}.get(reader.peek(), "value")  # type: ignore[return-value]
