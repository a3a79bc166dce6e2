"""Which class each value or colour of label maps means: by a table, else as found in the maps."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.datasets.maps.class_table import ClassTable, Row, is_void
from unimask.datasets.maps.kinds import COLOURS, PAIR, Glimpse, Kind
from unimask.datasets.maps.known_maps import known_maps
from unimask.datasets.maps.label_map import LOSSY, Codes, hex_of, read_colours, read_numbers
from unimask.datasets.packed import File, path_of
from unimask.errors import DataError
from unimask.label_sets import recognise
from unimask.labels import IGNORE_LABEL, Colour, LabelSet

SCANNED = 2000
"""Maps that are searched for values at most, spread over all of them."""

IGNORED, UNKNOWN = -1, -2

NOTHING: tuple[int, ...] = (IGNORE_LABEL, 65535)
"""Values that mean that nothing is known, in maps of 8 and of 16 bits."""

FITTING = 0.5
"""Share of the pixels that must have a colour of the table for it to be the maps' table."""


@dataclass(frozen=True, slots=True)
class Classes:
    """The meaning of maps.

    Attributes:
        labels: The classes, all stuff.
        label_of: Label id of each value or packed colour; `IGNORED` for none.
        coloured: Whether they are colours.
        cut: Value from which on pixels are the second class, where files blur their values.
        told: What a person should know of how they were found.
    """

    labels: LabelSet
    label_of: Mapping[int, int]
    coloured: bool
    told: str
    cut: int | None = None

    def read(self, file: File) -> Int[np.ndarray, "h w"]:
        """Read a map as label ids, `IGNORED` where nothing is known.

        Raises:
            DataError: It cannot be read, or has a value that means nothing.
        """
        codes = read_colours(file) if self.coloured else read_numbers(file)
        if self.cut is not None:
            return (codes >= self.cut).astype(np.int32)
        known = np.array(sorted(self.label_of), np.int64)
        ids = np.array([self.label_of[code] for code in known.tolist()], np.int32)
        if known[-1] < 2**16:
            table = np.full(2**16, UNKNOWN, np.int32)
            table[known] = ids
            labels = table[codes if codes.dtype.itemsize <= 2 else np.minimum(codes, 2**16 - 1)]
        else:
            place = np.searchsorted(known, codes).clip(0, len(known) - 1)
            labels = np.where(known[place] == codes, ids[place], UNKNOWN).astype(np.int32)
        if labels.size and labels.min() == UNKNOWN:
            raise self.stranger(file, codes[labels == UNKNOWN])
        return labels

    def stranger(self, file: File, codes: np.ndarray) -> DataError:
        """Name a file with a value or colour that means nothing."""
        values, counts = np.unique(codes, return_counts=True)
        worst = int(values[counts.argmax()])
        what = f"colour {hex_of(worst)}" if self.coloured else f"value {worst}"
        more = f" and {len(values) - 1} more" if len(values) > 1 else ""
        return DataError(
            f"{file} has {what}{more} ({len(codes)} pixels), which none of the "
            f"{len(self.labels)} classes has ({self.told}): mend the map or the table"
        )


def classes_of(
    kind: Kind,
    seen: Sequence[Glimpse],
    files: Sequence[File],
    tables: Sequence[ClassTable],
    names: tuple[str, ...] | None,
) -> Classes:
    """Give the classes of maps of one kind.

    Args:
        kind: "index", "colour" or "binary".
        seen: Some maps.
        files: All maps.
        tables: Tables beside them, the likeliest first.
        names: Names that somebody gave, in the order of the values or colours.

    Raises:
        DataError: A table does not fit the maps, or the number of names the classes.
    """
    painted = next((t for t in tables if t.coloured and has_all(t, seen)), None)
    if kind == "colour" or painted is not None:
        classes = by_colours(painted or next((t for t in tables if t.coloured), None), seen, files)
    elif kind == "binary" and (tables or is_cut(seen)):
        classes = of_binary(seen, tables)
    elif tables:
        classes = by_values(tables[0], seen, files)
    else:
        values = values_in(files, coloured=False)
        two = kind == "binary" and len(values) <= PAIR
        known = known_maps(values, list(map(path_of, files)), coloured=False)
        if known is not None and (names is None or len(names) < len(values)):
            classes = of_rows(known.rows(), known.name, coloured=False)
        else:
            classes = of_binary(seen, ()) if two else as_found(values, coloured=False)
    return classes if names is None else renamed(classes, names)


def has_all(table: ClassTable, seen: Sequence[Glimpse]) -> bool:
    """Say whether a table has every colour in which maps are seen."""
    colours = {row.colour for row in table.rows}
    return all(set(each.shown.tolist()) <= colours for each in seen)


def by_colours(table: ClassTable | None, seen: Sequence[Glimpse], files: Sequence[File]) -> Classes:
    """Take the colours of a table, or those found if there is none or it is not of these maps."""
    if table is not None and share_of(table, seen) >= FITTING:
        rows = [(row, row.colour or 0) for row in table.rows]
        return of_rows(rows, str(table.path), coloured=True)
    values = values_in(files, coloured=True)
    known = known_maps(values, list(map(path_of, files)), coloured=True)
    if known is not None:
        return of_rows(known.rows(), known.name, coloured=True)
    rows = () if table is None else table.rows
    named = {row.colour: row.name for row in rows if row.colour is not None}
    found = as_found(values, coloured=True, known=named)
    if table is None:
        return found
    told = f"colours as found: most are not those of {table.path.name}, {found.told}"
    return Classes(found.labels, found.label_of, True, told)


def share_of(table: ClassTable, seen: Sequence[Glimpse]) -> float:
    """Give the share of pixels whose colour a table has."""
    colours = [row.colour for row in table.rows if row.colour is not None]
    known = sum(int(each.counts[np.isin(each.shown, colours)].sum()) for each in seen)
    return known / max(1, sum(int(each.counts.sum()) for each in seen))


def by_values(table: ClassTable, seen: Sequence[Glimpse], files: Sequence[File]) -> Classes:
    """Take the values of a table: as it states them, else counted from 0.

    Where n names that count from 0 meet maps whose largest value is n, they leave out the
    background: the first name is value 1, and 0 is "background". If they are a public dataset's, 0
    is what its authors left unlabelled.

    Raises:
        DataError: A map has a larger value.
    """
    rows = [(row, at if row.value is None else row.value) for at, row in enumerate(table.rows)]
    if sorted(code for _, code in rows) != list(range(len(rows))):
        return of_rows(rows, str(table.path), coloured=False)
    if any(row.value is None for row in table.rows):
        values = values_in(files, coloured=False)
    else:
        values = sorted({value for each in seen for value in each.values.tolist()})
    largest = max((value for value in values if value not in NOTHING), default=0)
    if largest == len(rows) and not any(is_void(row.name) for row, code in rows if code == 0):
        known = recognise([row.name for row, _ in rows]) is not None
        first = Row("unlabelled" if known else "background")
        rows = [(first, 0), *((row, code + 1) for row, code in rows)]
    return of_rows(rows, str(table.path), coloured=False)


def of_rows(rows: Sequence[tuple[Row, int]], source: str, *, coloured: bool) -> Classes:
    """Give classes by name: rows of one name are one class, "void" and its like are ignored.

    Args:
        rows: Each with its value or packed colour.
        source: Who says so: a table's file, or whose maps they are.
        coloured: Whether the codes are colours.

    Raises:
        DataError: All rows are void.
    """
    names = list(dict.fromkeys(row.name for row, _ in rows if not is_void(row.name)))
    if not names:
        raise DataError(f"{source} names no class: give one name per line")
    label_of: dict[int, int] = {} if coloured else dict.fromkeys(NOTHING, IGNORED)
    for row, code in rows:
        label_of[code] = IGNORED if is_void(row.name) else names.index(row.name)
    colours = {row.name: row.colour for row, _ in reversed(rows)}
    paint = tuple(None if (c := colours[name]) is None else unpacked(c) for name in names)
    voids = [row.name for row, _ in rows if is_void(row.name)]
    ignored = [*voids, *([] if coloured or len(rows) > IGNORE_LABEL else [str(IGNORE_LABEL)])]
    told = f"names of {Path(source).name}"
    told += f", ignored: {', '.join(dict.fromkeys(ignored))}" if ignored else ""
    labels = LabelSet(tuple(names), (False,) * len(names), paint if any(paint) else ())
    return Classes(labels, label_of, coloured, told)


def of_binary(seen: Sequence[Glimpse], tables: Sequence[ClassTable]) -> Classes:
    """Give a class and its background; two names of a table are theirs."""
    names = ("background", "foreground")
    told = f"{names[0]} is 0"
    table = next((t for t in tables if len(t.rows) in (1, 2)), None)
    if table is not None:
        given = tuple(row.name for row in table.rows)
        names = given if len(given) == 2 else (names[0], *given)
        told = f"names of {table.path.name}"
    lossy = is_cut(seen)
    top = max(int(each.values[-1]) for each in seen if each.values.size)
    told += ", cut at 128 because files are lossy" if lossy else f", {names[1]} is {top}"
    labels = LabelSet(names, (False, False))
    return Classes(labels, {0: 0, top: 1}, False, told, 128 if lossy else None)


def is_cut(seen: Sequence[Glimpse]) -> bool:
    """Say whether files may blur their values, so that these are to be cut."""
    return any(each.file.suffix.lower() in LOSSY for each in seen)


def as_found(
    values: Sequence[int], *, coloured: bool, known: Mapping[int, str] | None = None
) -> Classes:
    """Make each value or colour that maps have a class, named after itself; 255 is ignored.

    Raises:
        DataError: There are more colours than a label map has.
    """
    known = known or {}
    ignored = [
        v for v in values if (v == IGNORE_LABEL and not coloured) or is_void(known.get(v, ""))
    ]
    kept = [value for value in values if value not in ignored]
    written = hex_of if coloured else "class {}".format
    labels = LabelSet(
        tuple(known.get(value, written(value)) for value in kept),
        (False,) * len(kept),
        tuple(unpacked(value) for value in kept) if coloured else (),
    )
    label_of = dict.fromkeys(ignored, IGNORED) | {v: i for i, v in enumerate(kept)}
    if not coloured:
        label_of[IGNORE_LABEL] = IGNORED
    told = f"named by {'colour' if coloured else 'value'}, for no table names them"
    if ignored or not coloured:
        told += f", ignored: {', '.join(known.get(v, str(v)) for v in ignored or [IGNORE_LABEL])}"
    return Classes(labels, label_of, coloured, told)


def unpacked(code: int) -> Colour:
    """Give red, green and blue of a packed colour."""
    return code >> 16, code >> 8 & 255, code & 255


def values_in(files: Sequence[File], *, coloured: bool) -> list[int]:
    """Give all values or packed colours of maps, in order.

    Raises:
        DataError: A map cannot be read, or has more colours than a label map has.
    """
    found: set[int] = set()
    with ThreadPoolExecutor() as pool:
        chosen = files[:: -(-len(files) // SCANNED)]
        for values in pool.map(partial(values_of, coloured=coloured), chosen):
            found.update(values)
    if coloured:
        check_colours(len(found), path_of(files[0]).parent)
    return sorted(found)


def values_of(file: File, *, coloured: bool) -> list[int]:
    """Give the values or packed colours of one map."""
    codes: Codes = read_colours(file) if coloured else read_numbers(file)
    starts = np.ones(codes.shape, bool)
    starts[:, 1:] = codes[:, 1:] != codes[:, :-1]  # few are left to sort
    values = np.unique(codes[starts])
    if coloured:
        check_colours(len(values), file)
    return values.tolist()


def check_colours(count: int, where: File) -> None:
    """Refuse what has more colours than a label map."""
    if count > COLOURS:
        raise DataError(
            f"{where} has {count} colours, too many for label maps: save them as PNG, neither "
            "smoothed nor as JPEG"
        )


def renamed(classes: Classes, names: tuple[str, ...]) -> Classes:
    """Give the classes other names; those that are called "void" or the like are ignored.

    Raises:
        DataError: They are not as many, or all are void.
    """
    old = classes.labels
    if len(names) != len(old):
        raise DataError(f"{len(names)} names, but the maps have {len(old)} classes: give as many")
    kept = [place for place, name in enumerate(names) if not is_void(name)]
    if not kept:
        raise DataError(f"all names mean that nothing is known: {', '.join(names)}")
    colours = tuple(old.colours[place] for place in kept) if old.colours else ()
    labels = LabelSet(tuple(names[p] for p in kept), tuple(old.is_thing[p] for p in kept), colours)
    places = {place: number for number, place in enumerate(kept)}
    label_of = {code: places.get(place, IGNORED) for code, place in classes.label_of.items()}
    voids = [name for name in names if is_void(name)]
    told = classes.told + (f", and {', '.join(voids)}" if voids else "")
    return Classes(labels, label_of, classes.coloured, told, classes.cut)
