"""Lists of image paths: text files, and columns of CSV and Parquet files."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from unimask.batch.remote import absolute, open_binary, parent
from unimask.errors import DataError, MissingExtraError, SettingsError, one_line

if TYPE_CHECKING:
    from pyarrow import parquet

TEXT_SUFFIXES = (".txt", ".lst", ".list")
CSV_SUFFIXES = (".csv", ".tsv")
PARQUET_SUFFIXES = (".parquet", ".pq")
LIST_SUFFIXES = TEXT_SUFFIXES + CSV_SUFFIXES + PARQUET_SUFFIXES

USUAL_COLUMNS = ("path", "image", "image_path", "file", "file_name", "filename", "url", "uri")
"""Names of columns with paths, the most usual first."""


def read_paths(file: str, column: str | None) -> Iterator[str]:
    """Read the paths of a list; relative ones belong to the folder of the list.

    Args:
        file: Path or URI of a text file with a path per line, of a CSV or of a Parquet file.
        column: Column with the paths; None for a usual name, or the only column.

    Yields:
        Absolute paths and URIs; "" for a row without a path.

    Raises:
        DataError: The file cannot be read.
        MissingExtraError: pyarrow is not installed.
        SettingsError: The column does not exist.
    """
    folder = parent(file)
    name = file.lower()
    if name.endswith(PARQUET_SUFFIXES):
        paths = read_parquet_column(file, column)
    elif name.endswith(CSV_SUFFIXES):
        paths = read_csv_column(file, column)
    elif column is None:
        paths = read_lines(file)
    else:
        raise SettingsError(f"--column {column}: {file} is a text file without columns; omit it")
    for path in paths:
        yield absolute(path, folder) if path else ""


def read_lines(file: str) -> Iterator[str]:
    """Read the lines of a text file that are not blank."""
    for line in read_text_lines(file):
        if line.strip():
            yield line.rstrip("\r\n")


def read_text_lines(file: str) -> Iterator[str]:
    """Read the lines of a text file in UTF-8."""
    with io.TextIOWrapper(open_binary(file), "utf-8-sig", newline="") as lines:
        try:
            yield from lines
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is not in UTF-8: save it as such") from error


def read_csv_column(file: str, column: str | None) -> Iterator[str]:
    """Read a column of a CSV file with a header, separated by commas, semicolons or tabs."""
    lines = read_text_lines(file)
    header = next(lines, "")
    separator = max("\t,;", key=header.count)
    try:
        names = next(csv.reader([header], delimiter=separator), [])
        index = names.index(choose_column(names, column, file))
        for row in csv.reader(lines, delimiter=separator):
            if row:
                yield row[index] if index < len(row) else ""
    except csv.Error as error:
        raise DataError(
            f"{file} is no valid CSV file ({one_line(error)}): save it again"
        ) from error


def read_parquet_column(file: str, column: str | None) -> Iterator[str]:
    """Read a column of a Parquet file."""
    with open_binary(file) as stream:
        table = open_parquet(stream, file)
        name = choose_column(table.schema_arrow.names, column, file)
        try:
            for batch in table.iter_batches(columns=[name]):
                for value in batch.column(0).to_pylist():
                    if not isinstance(value, str | None):
                        raise SettingsError(f"column {name} of {file} holds no text: pass --column")
                    yield value or ""
        except (OSError, ValueError) as error:
            raise DataError(f"{file} is damaged ({one_line(error)}): write it again") from error


def open_parquet(source: object, name: str) -> "parquet.ParquetFile":
    """Open a Parquet file.

    Args:
        source: Path or open file.
        name: Name of the file in messages.

    Raises:
        DataError: It is missing, or no Parquet file.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "batch") from None
    try:
        return parquet.ParquetFile(source)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{name} is no Parquet file ({one_line(error)}): remove or replace it"
        ) from error


def choose_column(names: Sequence[str], column: str | None, file: str) -> str:
    """Return the column with the paths.

    Raises:
        SettingsError: There is none.
    """
    if column is None:
        usual = [name for name in USUAL_COLUMNS if name in names]
        if len(names) == 1 or usual:
            return names[0] if len(names) == 1 else usual[0]
    elif column in names:
        return column
    shown = ", ".join(names) or "none"
    raise SettingsError(f"{file}: pass the column with the paths as --column; it has {shown}")
