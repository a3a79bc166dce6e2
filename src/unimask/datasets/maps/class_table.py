"""Names of classes, with the colours or values that stand for them, out of files beside maps."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimask.datasets.packed import File, path_of
from unimask.datasets.splits import SPLITS
from unimask.errors import DataError

NAMES = ("name", "title", "class", "class_name", "label", "label_name", "readable", "category")
COLOURS = ("color", "colour", "rgb", "hex", "color_rgb", "color_hex")
VALUES = ("value", "index", "id", "class_id", "label_id", "pixel", "pixel_value")
CHANNELS = (("r", "g", "b"), ("red", "green", "blue"))
LISTS = ("classes", "labels", "categories", "names", "id2label")

MEANT = frozenset(
    f"{name}.{suffix}"
    for name in [
        "classes",
        "labels",
        "class_dict",
        "class_names",
        "codes",
        "label_colors",
        "label_colours",
        "labelmap",
        "id2label",
    ]
    for suffix in ("json", "csv", "txt")
) - {"labels.csv"}  # which more often tells what whole pictures show
"""Files that hold a table, refused if they do not; others count if they have colours."""

LARGEST = 2**20
"""Bytes of a table at most: annotations are larger."""

VOID = frozenset(
    [
        "void",
        "unlabelled",
        "unlabeled",
        "not labelled",
        "not labeled",
        "ignore",
        "ignored",
        "ignore label",
        "unknown",
        "unannotated",
        "dont care",
        "don't care",
        "out of roi",
    ]
)
"""Names of what is no class: such pixels are ignored."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        name: Of the class; several rows may have one name.
        colour: That stands for it, packed as red * 65536 + green * 256 + blue.
        value: That stands for it; None for the row's place, counted from 0.
    """

    name: str
    colour: int | None = None
    value: int | None = None


@dataclass(frozen=True, slots=True)
class ClassTable:
    """A table and its file."""

    path: Path
    rows: tuple[Row, ...]

    @property
    def coloured(self) -> bool:
        """Whether each row has a colour."""
        return all(row.colour is not None for row in self.rows)


def is_void(name: str) -> bool:
    """Say whether a name means that nothing is known."""
    return re.sub(r"[\s_-]+", " ", name).strip().lower() in VOID


def find_tables(folders: Sequence[Path]) -> list[ClassTable]:
    """Give the tables in some folders, those whose file is called like one first.

    Raises:
        DataError: A file that is called like a table is none.
    """
    files = [path for folder in folders for path in sorted(folder.iterdir()) if is_candidate(path)]
    files.sort(key=lambda path: path.name.lower() not in MEANT)
    found = []
    for path in files:
        table, meant = ClassTable(path, tuple(read_rows(path))), path.name.lower() in MEANT
        if table.rows and (meant or table.coloured):
            found.append(table)
        elif meant and not names_things(path):
            raise DataError(
                f"{path} is no table of classes: give one name per line, name,r,g,b under a "
                'header, or {"classes": [{"name": ..., "color": ...}]}'
            )
    return found


def is_candidate(path: Path) -> bool:
    """Say whether a file may hold a table: any small JSON or CSV, but TXT only by its name."""
    name, suffix = path.name.lower(), path.suffix.lower()
    fits = name in MEANT or suffix in (".json", ".csv")
    return fits and path.is_file() and path.stat().st_size <= LARGEST


def names_things(path: Path) -> bool:
    """Say whether a JSON names the thing and the stuff of a folder of instance ids."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"thing", "stuff"} <= content.keys()


def read_rows(path: Path) -> list[Row]:
    """Read a table; empty if the file holds none."""
    readers: dict[str, Callable[[str], list[Row]]] = {".json": from_json, ".csv": from_csv}
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = readers.get(path.suffix.lower(), from_lines)(text)
    except (OSError, ValueError, TypeError, KeyError, csv.Error):
        return []
    values = {row.value for row in rows if row.value is not None}
    if len(values) != len(rows) or max(values, default=0) > 255:
        rows = [Row(row.name, row.colour) for row in rows]  # numbers of a data base, not of pixels
    return rows


def from_json(text: str) -> list[Row]:
    """Read a list of names or of objects, or an object of names, colours and values."""
    content = json.loads(text)
    if isinstance(content, dict):
        if {"images", "annotations", "shapes"} & content.keys():
            return []
        content = next((content[key] for key in LISTS if key in content), content)
    if isinstance(content, dict):
        return [from_item(key, value) for key, value in content.items()]
    return [from_entry(entry) for entry in content]


def from_item(key: str, value: Any) -> Row:
    """Read {"name": colour}, {"name": value} or {"value": name}."""
    if isinstance(value, str) and key.isdecimal():
        return Row(value, None, int(key))
    if isinstance(value, int):
        return Row(key, None, value)
    return Row(key, colour_of(value))


def from_entry(entry: Any) -> Row:
    """Read one entry of a list: a name, or an object with a name and more."""
    if isinstance(entry, str):
        return Row(entry)
    if not isinstance(entry, dict):
        raise TypeError("an entry is a name or an object")
    fields = {str(key).lower(): value for key, value in entry.items()}
    name = fields[next((key for key in NAMES if key in fields), NAMES[0])]
    colour = next((colour_of(fields[key]) for key in COLOURS if fields.get(key)), None)
    value = next((int(fields[key]) for key in VALUES if key in fields), None)
    return Row(str(name), colour, value)


def colour_of(value: Any) -> int:
    """Pack "#rrggbb", "r, g, b" or [r, g, b].

    Raises:
        ValueError: It is no colour.
    """
    if isinstance(value, str):
        found = re.fullmatch(r"#?([0-9a-fA-F]{6})(?:[0-9a-fA-F]{2})?", value.strip())
        if found:
            return int(found[1], 16)
        value = [int(part) for part in re.findall(r"\d+", value)]
    red, green, blue = [int(part) for part in value][:3]
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError("a colour has values from 0 to 255")
    return red << 16 | green << 8 | blue


def from_csv(text: str) -> list[Row]:
    """Read lines under a header that names them: name, r, g, b; or name and colour, or value."""
    lines = [[cell.strip() for cell in line] for line in csv.reader(text.splitlines()) if any(line)]
    header = [cell.lower() for cell in lines[0]] if lines else []
    if not any(name in header for name in NAMES):
        return from_lines(text)
    rows = []
    for line in lines[1:]:
        fields: dict[str, Any] = dict(zip(header, line, strict=False))
        channels = next((c for c in CHANNELS if set(c) <= fields.keys()), None)
        if channels:
            fields["color"] = [fields[channel] for channel in channels]
        rows.append(from_entry(fields))
    return rows


def from_lines(text: str) -> list[Row]:
    """Read one class per line: a name, alone or with its colour or value before or after it."""
    lines = [line.strip() for line in text.splitlines()]
    return [from_line(line) for line in lines if line and not line.startswith("#")]


def from_line(line: str) -> Row:
    """Read "name", "64 128 64 name", "name 64 128 64", "name:64,128,64::" or "7 name"."""
    byte = r"(\d{1,3})"
    colour = rf"{byte}[\s,]+{byte}[\s,]+{byte}"
    for pattern, order in ((rf"{colour}[\s,:]+(.+)", 3), (rf"(.+?)[\s,:]+{colour}[:\s,]*", 0)):
        found = re.fullmatch(pattern, line)
        if found:
            groups = list(found.groups())
            name = groups.pop(order)
            return Row(name.strip(), colour_of(groups))
    found = re.fullmatch(r"(\d+)[\s:,]+(.*\D.*)", line)
    return Row(found[2].strip(), None, int(found[1])) if found else Row(line)


def folders_above(files: Sequence[File], folder: Path) -> list[Path]:
    """Give the folders from a dataset's down to those of its maps, outermost first.

    Where the folder is a split of a dataset, the dataset's own comes first.
    """
    folders = {path_of(file).parent for file in files}
    inner = {a for f in folders for a in (f, *f.parents) if folder in a.parents}
    outer = [folder.parent] if folder.name.lower() in SPLITS else []
    return [*outer, folder, *sorted(inner, key=lambda path: (len(path.parts), path))]
