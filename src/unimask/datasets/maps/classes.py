"""Decide which class each value or colour of label maps means, by a table or by what occurs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from unimask.datasets.maps.class_table import ClassTable, Row, is_void
from unimask.datasets.maps.interpretation import BINARY_CLASSES, Interpretation
from unimask.datasets.maps.known_maps import recognise_maps
from unimask.datasets.maps.label_map import format_hex, read_colours, read_numbers
from unimask.datasets.maps.mask_set import MapFile, first_file
from unimask.datasets.maps.sampled_maps import MapStatistics
from unimask.datasets.maps.scanned_values import (
    UNLABELLED_VALUES,
    are_grey_classes,
    find_unlabelled_values,
    scan_values,
)
from unimask.datasets.packed import file_path
from unimask.errors import DataError
from unimask.label_sets import find_label_set
from unimask.labels import IGNORE_LABEL, Colour, LabelSet
from unimask.processing.value_ranges import strip_slices

IGNORED, UNKNOWN = -1, -2

MIN_TABLE_SHARE = 0.5
"""Minimum share of pixels whose colour is in the table, if the table belongs to the maps."""


@dataclass(frozen=True, slots=True)
class Classes:
    """Classes of the values or colours in label maps.

    Attributes:
        labels: Label set; every class is stuff.
        label_of: Label id of each value or packed colour; `IGNORED` for unlabelled pixels.
        coloured: Whether the maps store colours.
        threshold: Threshold at and above which a pixel belongs to the second class, for files with
            blurred values; None to look values up exactly.
        notes: Notes for the user on how the classes were determined.
    """

    labels: LabelSet
    label_of: Mapping[int, int]
    coloured: bool
    notes: str
    threshold: int | None = None

    def read(self, file: MapFile) -> Int[np.ndarray, "h w"]:
        """Read a map as label ids, `IGNORED` for unlabelled pixels.

        Raises:
            DataError: The map cannot be read, or has a value without a class.
        """
        codes = read_colours(file) if self.coloured else read_numbers(file)
        return self.look_up(codes, file)

    def look_up(self, codes: Shaped[np.ndarray, "..."], file: MapFile) -> Int[np.ndarray, "..."]:
        """Return the label ids of values or packed colours, `IGNORED` for unlabelled pixels.

        Args:
            codes: Values or packed colours.
            file: Map that they are from, for messages.

        Raises:
            DataError: A value has no class.
        """
        if self.threshold is not None:
            ids = np.array([label for _, label in sorted(self.label_of.items())], np.int32)
            return ids[(codes >= self.threshold).astype(np.int32)]
        known_codes = np.array(sorted(self.label_of), np.int64)
        ids = np.array([self.label_of[code] for code in known_codes.tolist()], np.int32)
        if known_codes[-1] < 2**16:
            table = np.full(2**16, UNKNOWN, np.int32)
            table[known_codes] = ids
            labels = table[codes if codes.dtype.itemsize <= 2 else np.minimum(codes, 2**16 - 1)]
        else:
            labels = np.empty(codes.shape, np.int32)
            for rows in strip_slices(codes):
                place = np.searchsorted(known_codes, codes[rows]).clip(0, len(known_codes) - 1)
                labels[rows] = np.where(known_codes[place] == codes[rows], ids[place], UNKNOWN)
        if labels.size and labels.min() == UNKNOWN:
            raise self.unknown_value_error(file, codes[labels == UNKNOWN])
        return labels

    def unknown_value_error(self, file: MapFile, codes: np.ndarray) -> DataError:
        """Build the error for a file with a value or colour that has no class."""
        values, counts = np.unique(codes, return_counts=True)
        worst = int(values[counts.argmax()])
        what = f"colour {format_hex(worst)}" if self.coloured else f"value {worst}"
        more = f" and {len(values) - 1} more" if len(values) > 1 else ""
        return DataError(
            f"{file} has {what}{more} ({len(codes)} pixels), which none of the "
            f"{len(self.labels)} classes has ({self.notes}): correct the map or the table"
        )


def determine_classes(
    interpretation: Interpretation,
    statistics: Sequence[MapStatistics],
    files: Sequence[MapFile],
    tables: Sequence[ClassTable],
    names: tuple[str, ...] | None,
) -> Classes:
    """Return the classes of maps of one kind.

    Args:
        interpretation: Kind of the maps' values: "index", "colour" or "binary".
        statistics: Sampled maps.
        files: All maps.
        tables: Class tables beside the maps, the most likely first.
        names: Class names given by the user, in the order of the values or colours.

    Raises:
        DataError: A table does not fit the maps, or the number of names differs from that of the
            classes.
    """
    colour_table = next((t for t in tables if t.coloured and has_all_colours(t, statistics)), None)
    if interpretation.kind == "colour" or colour_table is not None:
        classes = classes_from_colours(
            colour_table or next((t for t in tables if t.coloured), None), statistics, files
        )
    elif interpretation.kind == "binary" and (tables or interpretation.threshold is not None):
        classes = binary_classes(interpretation, statistics, tables)
    elif tables:
        classes = classes_from_values(tables[0], statistics, files)
    else:
        classes = classes_without_table(interpretation, statistics, files, names)
    return classes if names is None else rename_classes(classes, names)


def classes_without_table(
    interpretation: Interpretation,
    statistics: Sequence[MapStatistics],
    files: Sequence[MapFile],
    names: tuple[str, ...] | None,
) -> Classes:
    """Return the classes of maps of numbers that have no table."""
    values = scan_values(files, coloured=False)
    known_dataset = recognise_maps(
        values, [file_path(first_file(file)) for file in files], coloured=False
    )
    if known_dataset is not None and (names is None or len(names) < len(values)):
        return classes_from_rows(known_dataset.rows(), known_dataset.name, coloured=False)
    if interpretation.kind == "binary" and len(values) <= BINARY_CLASSES:
        return binary_classes(interpretation, statistics, ())
    ignored = find_unlabelled_values(values, statistics, names)
    return classes_from_occurrence(
        values, coloured=False, ignored=ignored, evidence=interpretation.evidence
    )


def has_all_colours(table: ClassTable, statistics: Sequence[MapStatistics]) -> bool:
    """Return whether a table has every colour that the sampled maps display."""
    colours = {row.colour for row in table.rows}
    return all(set(each.displayed_colours.tolist()) <= colours for each in statistics)


def classes_from_colours(
    table: ClassTable | None, statistics: Sequence[MapStatistics], files: Sequence[MapFile]
) -> Classes:
    """Return the classes of a table's colours, or of the colours that occur if no table fits."""
    if table is not None and table_colour_share(table, statistics) >= MIN_TABLE_SHARE:
        rows = [(row, row.colour or 0) for row in table.rows]
        return classes_from_rows(rows, str(table.path), coloured=True)
    values = scan_values(files, coloured=True)
    known_dataset = recognise_maps(
        values, [file_path(first_file(file)) for file in files], coloured=True
    )
    if known_dataset is not None:
        return classes_from_rows(known_dataset.rows(), known_dataset.name, coloured=True)
    rows = () if table is None else table.rows
    colour_names = {row.colour: row.name for row in rows if row.colour is not None}
    classes = classes_from_occurrence(values, coloured=True, known_names=colour_names)
    if table is None:
        return classes
    notes = f"colours as found: most are not those of {table.path.name}, {classes.notes}"
    return Classes(classes.labels, classes.label_of, True, notes)


def table_colour_share(table: ClassTable, statistics: Sequence[MapStatistics]) -> float:
    """Return the share of pixels whose colour is in a table."""
    colours = [row.colour for row in table.rows if row.colour is not None]
    num_known = sum(
        int(each.counts[np.isin(each.displayed_colours, colours)].sum()) for each in statistics
    )
    return num_known / max(1, sum(int(each.counts.sum()) for each in statistics))


def classes_from_values(
    table: ClassTable, statistics: Sequence[MapStatistics], files: Sequence[MapFile]
) -> Classes:
    """Return the classes of a table's values: its stated values, else positions from 0.

    If a table has n names counted from 0 and the largest value in the maps is n, the table omits
    the background: the first name belongs to value 1, and 0 is "background". For the classes of a
    public dataset, 0 is "unlabelled" instead.

    Raises:
        DataError: A map has a larger value.
    """
    rows = [(row, at if row.value is None else row.value) for at, row in enumerate(table.rows)]
    if sorted(code for _, code in rows) != list(range(len(rows))):
        return classes_from_rows(rows, str(table.path), coloured=False)
    if any(row.value is None for row in table.rows):
        values = scan_values(files, coloured=False)
        if len(values) == len(rows) and are_grey_classes(values):
            ordered = [(row, value) for (row, _), value in zip(rows, values, strict=True)]
            return classes_from_rows(ordered, str(table.path), coloured=False)
    else:
        values = sorted({value for each in statistics for value in each.values.tolist()})
    largest = max((value for value in values if value not in UNLABELLED_VALUES), default=0)
    if largest == len(rows) and not any(is_void(row.name) for row, code in rows if code == 0):
        is_known = find_label_set([row.name for row, _ in rows]) is not None
        first = Row("unlabelled" if is_known else "background")
        rows = [(first, 0), *((row, code + 1) for row, code in rows)]
    return classes_from_rows(rows, str(table.path), coloured=False)


def classes_from_rows(rows: Sequence[tuple[Row, int]], source: str, *, coloured: bool) -> Classes:
    """Build classes from rows: rows with the same name are one class; void names are ignored.

    Args:
        rows: Each row with its value or packed colour.
        source: File of the table, or name of the dataset that the maps belong to.
        coloured: Whether the codes are packed colours.

    Raises:
        DataError: All rows are void.
    """
    names = list(dict.fromkeys(row.name for row, _ in rows if not is_void(row.name)))
    if not names:
        raise DataError(f"{source} names no class: write one name per line")
    label_of: dict[int, int] = {} if coloured else dict.fromkeys(UNLABELLED_VALUES, IGNORED)
    for row, code in rows:
        label_of[code] = IGNORED if is_void(row.name) else names.index(row.name)
    colours = {row.name: row.colour for row, _ in reversed(rows)}
    class_colours = tuple(
        None if (c := colours[name]) is None else unpack_colour(c) for name in names
    )
    void_names = [row.name for row, _ in rows if is_void(row.name)]
    ignored = [*void_names, *([] if coloured or len(rows) > IGNORE_LABEL else [str(IGNORE_LABEL)])]
    notes = f"names of {Path(source).name}"
    notes += f", ignored: {', '.join(dict.fromkeys(ignored))}" if ignored else ""
    labels = LabelSet(
        tuple(names), (False,) * len(names), class_colours if any(class_colours) else ()
    )
    return Classes(labels, label_of, coloured, notes)


def binary_classes(
    interpretation: Interpretation,
    statistics: Sequence[MapStatistics],
    tables: Sequence[ClassTable],
) -> Classes:
    """Return one class and its background, with the names of a table that has one or two rows."""
    names = ("background", "foreground")
    notes = f"{names[0]} is 0"
    table = next((t for t in tables if len(t.rows) in (1, 2)), None)
    if table is not None:
        table_names = tuple(row.name for row in table.rows)
        names = table_names if len(table_names) == 2 else (names[0], *table_names)
        notes = f"names of {table.path.name}"
    top = max(int(each.values[-1]) for each in statistics if each.values.size)
    notes += (
        f", {interpretation.evidence}"
        if interpretation.threshold is not None
        else f", {names[1]} is {top}"
    )
    classes = Classes(
        LabelSet(names, (False, False)), {0: 0, top: 1}, False, notes, interpretation.threshold
    )
    return rename_classes(classes, names) if any(map(is_void, names)) else classes


def classes_from_occurrence(
    values: Sequence[int],
    *,
    coloured: bool,
    known_names: Mapping[int, str] | None = None,
    ignored: Sequence[int] = (),
    evidence: str = "",
) -> Classes:
    """Make each value or colour that occurs a class named after itself.

    Args:
        values: All values or packed colours.
        coloured: Whether `values` are packed colours.
        known_names: Class names of some values.
        ignored: Values of unlabelled pixels.
        evidence: Reason why the values are classes, for the notes.
    """
    known_names = known_names or {}
    ignored = [value for value in values if value in ignored or is_void(known_names.get(value, ""))]
    class_values = [value for value in values if value not in ignored]
    format_value = format_hex if coloured else "class {}".format
    labels = LabelSet(
        tuple(known_names.get(value, format_value(value)) for value in class_values),
        (False,) * len(class_values),
        tuple(unpack_colour(value) for value in class_values) if coloured else (),
    )
    label_of = dict.fromkeys(ignored, IGNORED) | {v: i for i, v in enumerate(class_values)}
    is_255_unused = not coloured and IGNORE_LABEL not in values
    if is_255_unused:
        label_of[IGNORE_LABEL] = IGNORED
    notes = f"named by {'colour' if coloured else 'value'} because no table names them"
    void_names = [known_names.get(v, str(v)) for v in ignored] or [
        str(IGNORE_LABEL)
    ] * is_255_unused
    notes += f", ignored: {', '.join(void_names)}" if void_names else ""
    notes += f"; {evidence}" if evidence else ""
    return Classes(labels, label_of, coloured, notes)


def unpack_colour(code: int) -> Colour:
    """Return red, green and blue of a packed colour."""
    return code >> 16, code >> 8 & 255, code & 255


def rename_classes(classes: Classes, names: tuple[str, ...]) -> Classes:
    """Return the classes with other names; classes renamed to "void" or the like become ignored.

    Raises:
        DataError: The number of names differs from that of the classes, or all names are void.
    """
    old = classes.labels
    if len(names) != len(old):
        raise DataError(
            f"{len(names)} names, but the maps have {len(old)} classes: pass one name per class"
        )
    valid_places = [place for place, name in enumerate(names) if not is_void(name)]
    if not valid_places:
        raise DataError(f"all names mean that nothing is known: {', '.join(names)}")
    colours = tuple(old.colours[place] for place in valid_places) if old.colours else ()
    labels = LabelSet(
        tuple(names[p] for p in valid_places), tuple(old.is_thing[p] for p in valid_places), colours
    )
    places = {place: number for number, place in enumerate(valid_places)}
    label_of = {code: places.get(place, IGNORED) for code, place in classes.label_of.items()}
    void_names = [name for name in names if is_void(name)]
    notes = classes.notes + (f", and {', '.join(void_names)}" if void_names else "")
    return Classes(labels, label_of, classes.coloured, notes, classes.threshold)
