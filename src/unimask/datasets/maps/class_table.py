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
from unimask.formats.json_outline import json_outline

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

MOST_ROWS, LONGEST_LINE = 10_000, 1_000
"""Classes of a table at most, and characters of a line."""

BYTE = r"(\d{1,3})"
COLOUR_FIRST = re.compile(rf"{BYTE}[\s,;]+{BYTE}[\s,;]+{BYTE}[\s,;:]+(\S.*)")
COLOUR_LAST_REVERSED = re.compile(rf"[:;,\s]*{BYTE}[\s,;]+{BYTE}[\s,;]+{BYTE}[\s,;:]+(\S.*)")
"""Matched against the reversed line, so that the time is linear in its length."""
HEX_LAST_REVERSED = re.compile(r"([0-9a-fA-F]{6})#[\s,;:]+(\S.*)")
VALUE_FIRST = re.compile(r"(\d{1,9})[\s,;:]+(\S.*)")

UNREADABLE = (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError, csv.Error)
"""What parsing raises where a file holds no table."""

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
        "unclassified",
        "undefined",
        "unspecified",
        "not annotated",
        "no label",
        "no data",
        "nodata",
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
        elif meant and not names_things(path) and not lists_objects(path):
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
    """Return whether a JSON names the thing and the stuff of a folder of instance ids."""
    try:
        if path.stat().st_size > LARGEST:
            return False
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"thing", "stuff"} <= content.keys()


def lists_objects(path: Path) -> bool:
    """Return whether a JSON is one of another format of labels, such as COCO or LabelMe."""
    keys = json_outline(path).keys.keys() if path.suffix.lower() == ".json" else ()
    return bool({"images", "annotations", "shapes"} & set(keys))


def read_rows(path: Path) -> list[Row]:
    """Read a table; empty if the file holds none."""
    readers: dict[str, Callable[[str], list[Row]]] = {".json": from_json, ".csv": from_csv}
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = readers.get(path.suffix.lower(), from_lines)(text)
    except UNREADABLE:
        return []
    if len(rows) > MOST_ROWS:
        return []
    rows = [row for row in rows if row.value is None or row.value >= 0]  # no pixel is negative
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
    if not isinstance(content, list):
        raise TypeError("a table is a list or an object")
    return [from_entry(entry) for entry in content]


def name_from(value: Any) -> str:
    """Return the name of a class.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty, or holds what no file can be written with.
    """
    if not isinstance(value, str):
        raise TypeError("a name is text")
    value.encode()
    if not value.strip():
        raise ValueError("a name is empty")
    return value


def whole(value: Any) -> int:
    """Return a value that stands for a class, as a number or as text.

    Raises:
        TypeError, ValueError: It is no whole number.
    """
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError("a value is a whole number")
    return int(value)


def from_item(key: str, value: Any) -> Row:
    """Read {"name": colour}, {"name": value} or {"value": name}."""
    if isinstance(value, str) and key.isdecimal():
        return Row(name_from(value), None, int(key))
    if isinstance(value, int | float):
        return Row(name_from(key), None, whole(value))
    return Row(name_from(key), colour_of(value))


def from_entry(entry: Any) -> Row:
    """Read one entry of a list: a name, or an object with a name and more."""
    if isinstance(entry, str):
        return Row(name_from(entry))
    if not isinstance(entry, dict):
        raise TypeError("an entry is a name or an object")
    fields = {str(key).lower(): value for key, value in entry.items()}
    name = fields[next((key for key in NAMES if key in fields), NAMES[0])]
    colour = next((colour_of(fields[key]) for key in COLOURS if fields.get(key)), None)
    value = next((whole(fields[key]) for key in VALUES if fields.get(key) is not None), None)
    return Row(name_from(name), colour, value)


def colour_of(value: Any) -> int:
    """Pack "#rrggbb", "r, g, b" or [r, g, b].

    Raises:
        ValueError: It is no colour.
    """
    if isinstance(value, str):
        found = re.fullmatch(r"#?([0-9a-fA-F]{6})(?:[0-9a-fA-F]{2})?", value.strip())
        if found:
            return int(found[1], 16)
        value = re.findall(r"\d+", value)
    red, green, blue = [whole(part) for part in value][:3]
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError("a colour has values from 0 to 255")
    return red << 16 | green << 8 | blue


def from_csv(text: str) -> list[Row]:
    """Read lines under a header that names them: name, r, g, b; or name and colour, or value.

    Cells are divided by commas, semicolons or tabs, whichever the first line has most of.
    """
    lines = limited_lines(text)
    first = lines[0] if lines else ""
    delimiter = max(",;\t", key=first.count)
    cells = [[cell.strip() for cell in line] for line in csv.reader(lines, delimiter=delimiter)]
    header = [cell.lower() for cell in cells[0]] if cells else []
    if not any(name in header for name in NAMES):
        return from_lines(text)
    rows = []
    for line in cells[1:]:
        if not any(line):
            continue
        fields: dict[str, Any] = dict(zip(header, line, strict=False))
        channels = next((c for c in CHANNELS if set(c) <= fields.keys()), None)
        if channels:
            fields["color"] = [fields[channel] for channel in channels]
        rows.append(from_entry(fields))
    return rows


def from_lines(text: str) -> list[Row]:
    """Read one class per line: a name, alone or with its colour or value before or after it."""
    lines = [line.strip() for line in limited_lines(text)]
    return [from_line(line) for line in lines if line and not line.startswith("#")]


def limited_lines(text: str) -> list[str]:
    """Return the lines of a table.

    Raises:
        ValueError: There are too many, or one is too long, for a table of classes.
    """
    lines = text.splitlines()
    if len(lines) > MOST_ROWS or max(map(len, lines), default=0) > LONGEST_LINE:
        raise ValueError("no table of classes is so large")
    return lines


def from_line(line: str) -> Row:
    """Read "name", "64 128 64 name", "name 64 128 64", "name:64,128,64::" or "7 name"."""
    found = COLOUR_FIRST.fullmatch(line)
    if found:
        return Row(name_from(unquoted(found[4])), colour_of(found.groups()[:3]))
    found = COLOUR_LAST_REVERSED.fullmatch(line[::-1])
    if found:
        *colour, name = (group[::-1] for group in found.groups())
        return Row(name_from(unquoted(name)), colour_of(colour[::-1]))
    found = HEX_LAST_REVERSED.fullmatch(line[::-1])
    if found:
        return Row(name_from(unquoted(found[2][::-1])), colour_of(found[1][::-1]))
    found = VALUE_FIRST.fullmatch(line)
    if found and not found[2].isdecimal():
        return Row(name_from(unquoted(found[2])), None, int(found[1]))
    return Row(name_from(unquoted(line)))


def unquoted(name: str) -> str:
    """Return a name without the quotes around it."""
    name = name.strip()
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"
    return name[1:-1] if quoted else name


def folders_above(files: Sequence[File], folder: Path) -> list[Path]:
    """Give the folders from a dataset's down to those of its maps, outermost first.

    Where the folder is a split of a dataset, the dataset's own comes first.
    """
    folders = {path_of(file).parent for file in files}
    inner = {a for f in folders for a in (f, *f.parents) if folder in a.parents}
    outer = [folder.parent] if folder.name.lower() in SPLITS else []
    return [*outer, folder, *sorted(inner, key=lambda path: (len(path.parts), path))]
