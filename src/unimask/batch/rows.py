"""Rows of the parts: their Parquet schema, and conversion from and to results."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unimask.batch.inputs import InputItem, readable_path
from unimask.batch.path_lists import open_parquet
from unimask.errors import DataError, ImageError
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet, Task, parse_task
from unimask.results import Result, Segment
from unimask.version import __version__

if TYPE_CHECKING:
    import pyarrow

METADATA_KEY = b"unimask"
"""Key of the labels in the metadata of each part."""

ROWS_PER_GROUP = 32
"""Number of rows written, and read, at a time, which bounds the memory."""

Row = dict[str, Any]


def labels_to_json(labels: LabelSet) -> dict[str, Any]:
    """Return a label set as values of JSON."""
    return {
        "names": list(labels.names),
        "is_thing": list(labels.is_thing),
        "colours": [None if colour is None else list(colour) for colour in labels.colours],
        "category_ids": list(labels.category_ids),
    }


def labels_from_json(content: dict[str, Any]) -> LabelSet:
    """Return the label set that `labels_to_json` wrote."""
    return LabelSet(
        tuple(content["names"]),
        tuple(content["is_thing"]),
        tuple(None if colour is None else tuple(colour) for colour in content["colours"]),
        tuple(content["category_ids"]),
    )


def part_schema(labels: LabelSet) -> "pyarrow.Schema":
    """Return the schema of the parts; the labels are in its metadata."""
    import pyarrow as pa

    segment = pa.struct(
        [
            ("id", pa.int32()),
            ("label_id", pa.int32()),
            ("label", pa.string()),
            ("category_id", pa.int64()),
            ("is_thing", pa.bool_()),
            ("score", pa.float64()),
            ("area", pa.int64()),
            ("box", pa.list_(pa.float32())),
            ("rle", pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])),
        ]
    )
    columns = [
        ("path", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("task", pa.string()),
        ("segments", pa.list_(segment)),
        ("error", pa.string()),
        ("model", pa.string()),
        ("version", pa.string()),
    ]
    return pa.schema(columns, {METADATA_KEY: json.dumps(labels_to_json(labels)).encode()})


def to_row(item: InputItem, outcome: Result | ImageError, task: Task, model: str) -> Row:
    """Return the row of an image from its result, or from its error."""
    row: Row = {"path": item.path, "task": task, "model": model, "version": __version__}
    if isinstance(outcome, ImageError):
        return row | {"width": None, "height": None, "segments": None, "error": str(outcome)}
    segments = [
        {
            "id": s.id,
            "label_id": s.label_id,
            "label": s.label,
            "category_id": outcome.labels.category_id(s.label_id),
            "is_thing": s.is_thing,
            "score": s.score,
            "area": s.area,
            "box": list(s.box),
            "rle": s.rle.to_coco(),
        }
        for s in outcome.segments
    ]
    height, width = outcome.size
    return row | {"width": width, "height": height, "segments": segments, "error": None}


def from_row(row: Row, labels: LabelSet) -> Result | ImageError:
    """Return the result of a row, or its error.

    Raises:
        DataError: A run length is invalid.
    """
    if row["error"] is not None:
        return ImageError(row["error"])
    segments = tuple(
        Segment(
            id=s["id"],
            label=s["label"],
            label_id=s["label_id"],
            is_thing=s["is_thing"],
            score=s["score"],
            area=s["area"],
            box=tuple(s["box"]),
            rle=RunLength.from_coco(s["rle"]),
        )
        for s in row["segments"]
    )
    size = (row["height"], row["width"])
    return Result(
        parse_task(row["task"]), size, labels, segments, path=Path(readable_path(row["path"]))
    )


def read_rows(path: Path) -> tuple[LabelSet, Iterator[Row]]:
    """Read a part.

    Returns:
        The labels, and an iterator over the rows in constant memory.

    Raises:
        DataError: The file is damaged, or no part.
    """
    file = open_parquet(path, str(path))
    try:
        labels = labels_from_json(json.loads(file.schema_arrow.metadata[METADATA_KEY]))
    except (KeyError, TypeError, ValueError) as error:
        file.close()
        raise DataError(f"{path} is no part of a batch run: remove it") from error

    def rows() -> Iterator[Row]:
        with file:
            try:
                for group in range(file.num_row_groups):
                    yield from file.read_row_group(group).to_pylist()
            except (OSError, ValueError) as error:
                raise DataError(f"{path} is damaged: remove it, and run again") from error

    return labels, rows()


def count_errors(path: Path) -> int:
    """Count the failed images of a part, by the statistics of its column `error`.

    Raises:
        DataError: The file is damaged, or no part.
    """
    with open_parquet(path, str(path)) as file:
        metadata, failed = file.metadata, 0
        columns = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        for group in range(metadata.num_row_groups):
            chunk = metadata.row_group(group).column(columns.index("error"))
            failed += chunk.num_values - chunk.statistics.null_count
    return failed
