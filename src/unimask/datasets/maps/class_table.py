"""Parse class tables beside maps: class names with the colours or values that stand for them."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimask.datasets.packed import File, file_path
from unimask.datasets.splits import SPLIT_NAMES
from unimask.errors import DataError
from unimask.formats.json_outline import read_json_outline

NAME_COLUMNS = (
    "name",
    "title",
    "class",
    "class_name",
    "label",
    "label_name",
    "readable",
    "category",
)
COLOUR_COLUMNS = ("color", "colour", "rgb", "hex", "color_rgb", "color_hex")
VALUE_COLUMNS = ("value", "index", "id", "class_id", "label_id", "pixel", "pixel_value")
CHANNEL_COLUMNS = (("r", "g", "b"), ("red", "green", "blue"))
LIST_KEYS = ("classes", "labels", "categories", "names", "id2label")

TABLE_FILE_NAMES = frozenset(
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
) - {"labels.csv"}  # commonly holds image-level labels
"""File names that are reserved for tables: a file with one is refused if it holds no table. Other
files count only if every row has a colour."""

PIXEL_CLASSES = frozenset({"_classes.csv", "dataset.json"})
"""Names of the tables of Roboflow and nnU-Net, which other exports use for other files."""

MAX_TABLE_BYTES = 2**20
"""Maximum size of a table in bytes; annotation files are larger."""

MAX_ROWS, MAX_LINE_LENGTH = 10_000, 1_000
"""Maximum number of rows of a table, and maximum length of a line in characters."""

BYTE_PATTERN = r"(\d{1,3})"
COLOUR_FIRST = re.compile(
    rf"{BYTE_PATTERN}[\s,;]+{BYTE_PATTERN}[\s,;]+{BYTE_PATTERN}[\s,;:]+(\S.*)"
)
COLOUR_LAST_REVERSED = re.compile(
    rf"[:;,\s]*{BYTE_PATTERN}[\s,;]+{BYTE_PATTERN}[\s,;]+{BYTE_PATTERN}[\s,;:]+(\S.*)"
)
"""Pattern for the reversed line, so that matching time is linear in the line's length."""
HEX_LAST_REVERSED = re.compile(r"([0-9a-fA-F]{6})#[\s,;:]+(\S.*)")
LABELMAP_LINE = re.compile(
    rf"([^:]*[^:\s][^:]*):\s*{BYTE_PATTERN}\s*,\s*{BYTE_PATTERN}\s*,\s*{BYTE_PATTERN}\s*:[^:]*:[^:]*"
)
"""Pattern of a line of CVAT's and Datumaro's labelmap.txt: a name, a colour, parts and actions."""
VALUE_FIRST = re.compile(r"(\d{1,9})[\s,;:]+(\S.*)")

PARSE_ERRORS = (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError, csv.Error)
"""Exceptions that parsing raises if a file holds no table."""

VOID_NAMES = frozenset(
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
"""Names that mark pixels without a class; such pixels are ignored."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a class table.

    Attributes:
        name: Class name; several rows may share one name.
        colour: Colour of the class, packed as red * 65536 + green * 256 + blue.
        value: Value of the class; None for the row's position, counted from 0.
    """

    name: str
    colour: int | None = None
    value: int | None = None


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Rows of a class table and the path of its file."""

    path: Path
    rows: tuple[Row, ...]

    @property
    def has_pixel_values(self) -> bool:
        """Whether it is a table of Roboflow or nnU-Net, and each row has a value."""
        valued = all(row.value is not None for row in self.rows)
        return self.path.name.lower() in PIXEL_CLASSES and valued

    @property
    def coloured(self) -> bool:
        """Whether every row has a colour."""
        return all(row.colour is not None for row in self.rows)


def is_void(name: str) -> bool:
    """Return whether a class name means "unlabelled"."""
    return re.sub(r"[\s_-]+", " ", name).strip().lower() in VOID_NAMES


def find_tables(folders: Sequence[Path]) -> list[ClassTable]:
    """Return the class tables in some folders, files with a reserved name first.

    Raises:
        DataError: A file with a reserved name holds no table.
    """
    files = [path for folder in folders for path in sorted(folder.iterdir()) if is_candidate(path)]
    files.sort(key=lambda path: path.name.lower() not in TABLE_FILE_NAMES)
    tables = []
    for path in files:
        table, is_reserved = (
            ClassTable(path, tuple(read_rows(path))),
            path.name.lower() in TABLE_FILE_NAMES,
        )
        if table.rows and (is_reserved or table.coloured or table.has_pixel_values):
            tables.append(table)
        elif is_reserved and not has_thing_names(path) and not is_object_file(path):
            raise DataError(
                f"{path} is not a class table: write one name per line, name,r,g,b under a "
                'header, or {"classes": [{"name": ..., "color": ...}]}'
            )
    return tables


def is_candidate(path: Path) -> bool:
    """Return whether a file may hold a table: any small JSON or CSV, but TXT only by its name."""
    name, suffix = path.name.lower(), path.suffix.lower()
    has_table_name = name in TABLE_FILE_NAMES or suffix in (".json", ".csv")
    return has_table_name and path.is_file() and path.stat().st_size <= MAX_TABLE_BYTES


def has_thing_names(path: Path) -> bool:
    """Return whether a JSON file names the thing and the stuff of a folder of instance ids."""
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            return False
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"thing", "stuff"} <= content.keys()


def is_object_file(path: Path) -> bool:
    """Return whether a JSON file belongs to another label format, such as COCO or LabelMe."""
    keys = read_json_outline(path).keys.keys() if path.suffix.lower() == ".json" else ()
    return bool({"images", "annotations", "shapes"} & set(keys))


def read_rows(path: Path) -> list[Row]:
    """Parse a class table; return no rows if the file holds none."""
    readers: dict[str, Callable[[str], list[Row]]] = {
        ".json": parse_json_table,
        ".csv": parse_csv_table,
    }
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = readers.get(path.suffix.lower(), parse_lines)(text)
    except PARSE_ERRORS:
        return []
    if len(rows) > MAX_ROWS:
        return []
    rows = [row for row in rows if row.value is None or row.value >= 0]  # pixels are never negative
    values = {row.value for row in rows if row.value is not None}
    if len(values) != len(rows) or max(values, default=0) > 255:
        rows = [Row(row.name, row.colour) for row in rows]  # database ids, not pixel values
    return rows


def parse_json_table(text: str) -> list[Row]:
    """Parse a list of names or objects, or an object that maps names, colours and values."""
    content = json.loads(text)
    if isinstance(content, dict):
        if {"images", "annotations", "shapes"} & content.keys():
            return []
        content = next((content[key] for key in LIST_KEYS if key in content), content)
    if isinstance(content, dict):
        return [parse_item(key, value) for key, value in content.items()]
    if not isinstance(content, list):
        raise TypeError("a table is a list or an object")
    return [parse_entry(entry) for entry in content]


def parse_name(value: Any) -> str:
    """Return a class name after checking it.

    Raises:
        TypeError: The value is not a string.
        ValueError: The name is empty, or cannot be encoded as UTF-8.
    """
    if not isinstance(value, str):
        raise TypeError("a name is text")
    value.encode()
    if not value.strip():
        raise ValueError("a name is empty")
    return value


def parse_whole_number(value: Any) -> int:
    """Return a class value as an integer; strings are parsed.

    Raises:
        TypeError, ValueError: The value is not a whole number.
    """
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError("a value is a whole number")
    return int(value)


def parse_item(key: str, value: Any) -> Row:
    """Parse {"name": colour}, {"name": value} or {"value": name}."""
    if isinstance(value, str) and key.isdecimal():
        return Row(parse_name(value), None, int(key))
    if isinstance(value, int | float):
        return Row(parse_name(key), None, parse_whole_number(value))
    return Row(parse_name(key), parse_colour(value))


def parse_entry(entry: Any) -> Row:
    """Parse one entry of a list: a name, or an object with a name and further fields."""
    if isinstance(entry, str):
        return Row(parse_name(entry))
    if not isinstance(entry, dict):
        raise TypeError("an entry is a name or an object")
    fields = {str(key).lower(): value for key, value in entry.items()}
    name = fields[next((key for key in NAME_COLUMNS if key in fields), NAME_COLUMNS[0])]
    colour = next((parse_colour(fields[key]) for key in COLOUR_COLUMNS if fields.get(key)), None)
    value = next(
        (parse_whole_number(fields[key]) for key in VALUE_COLUMNS if fields.get(key) is not None),
        None,
    )
    return Row(parse_name(name), colour, value)


def parse_colour(value: Any) -> int:
    """Parse "#rrggbb", "r, g, b" or [r, g, b] into a packed colour.

    Raises:
        ValueError: The value is not a colour.
    """
    if isinstance(value, str):
        match = re.fullmatch(r"#?([0-9a-fA-F]{6})(?:[0-9a-fA-F]{2})?", value.strip())
        if match:
            return int(match[1], 16)
        value = re.findall(r"\d+", value)
    red, green, blue = [parse_whole_number(part) for part in value][:3]
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError("a colour has values from 0 to 255")
    return red << 16 | green << 8 | blue


def parse_csv_table(text: str) -> list[Row]:
    """Parse CSV rows under a header such as name,r,g,b, or name with a colour or a value.

    The delimiter is a comma, semicolon or tab, whichever occurs most often in the first line.
    """
    lines = split_lines(text)
    first = lines[0] if lines else ""
    delimiter = max(",;\t", key=first.count)
    cells = [[cell.strip() for cell in line] for line in csv.reader(lines, delimiter=delimiter)]
    header = [cell.lower().replace(" ", "_") for cell in cells[0]] if cells else []
    if not any(name in header for name in NAME_COLUMNS):
        return parse_lines(text)
    rows = []
    for line in cells[1:]:
        if not any(line):
            continue
        fields: dict[str, Any] = dict(zip(header, line, strict=False))
        channels = next((c for c in CHANNEL_COLUMNS if set(c) <= fields.keys()), None)
        if channels:
            fields["color"] = [fields[channel] for channel in channels]
        rows.append(parse_entry(fields))
    return rows


def parse_lines(text: str) -> list[Row]:
    """Parse one class per line: a name, alone or with its colour or value before or after it."""
    lines = [line.strip() for line in split_lines(text)]
    return [parse_line(line) for line in lines if line and not line.startswith("#")]


def split_lines(text: str) -> list[str]:
    """Return the lines of a table's text.

    Raises:
        ValueError: There are too many lines, or one is too long, for a class table.
    """
    lines = text.splitlines()
    if len(lines) > MAX_ROWS or max(map(len, lines), default=0) > MAX_LINE_LENGTH:
        raise ValueError("no table of classes is so large")
    return lines


def parse_line(line: str) -> Row:
    """Parse "name", "64 128 64 name", "name 64 128 64", "name:64,128,64::" or "7 name"."""
    match = COLOUR_FIRST.fullmatch(line)
    if match:
        return Row(parse_name(remove_quotes(match[4])), parse_colour(match.groups()[:3]))
    match = LABELMAP_LINE.fullmatch(line)
    if match:
        return Row(parse_name(remove_quotes(match[1])), parse_colour(match.groups()[1:]))
    match = COLOUR_LAST_REVERSED.fullmatch(line[::-1])
    if match:
        *colour, name = (group[::-1] for group in match.groups())
        return Row(parse_name(remove_quotes(name)), parse_colour(colour[::-1]))
    match = HEX_LAST_REVERSED.fullmatch(line[::-1])
    if match:
        return Row(parse_name(remove_quotes(match[2][::-1])), parse_colour(match[1][::-1]))
    match = VALUE_FIRST.fullmatch(line)
    if match and not match[2].isdecimal():
        return Row(parse_name(remove_quotes(match[2])), None, int(match[1]))
    return Row(parse_name(remove_quotes(line)))


def remove_quotes(name: str) -> str:
    """Return a name without the quotes around it."""
    name = name.strip()
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"
    return name[1:-1] if quoted else name


def list_map_folders(files: Sequence[File], folder: Path) -> list[Path]:
    """Return the folders from the dataset's down to those of its maps, outermost first.

    If the folder is a split of a dataset, the folder of the dataset comes first.
    """
    folders = {file_path(file).parent for file in files}
    inner = {a for f in folders for a in (f, *f.parents) if folder in a.parents}
    outer = [folder.parent] if folder.name.lower() in SPLIT_NAMES else []
    return [*outer, folder, *sorted(inner, key=lambda path: (len(path.parts), path))]
