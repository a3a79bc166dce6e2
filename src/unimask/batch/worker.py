"""The worker of batch runs: a model that segments the images of one part after another."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unimask.batch.inputs import InputItem
from unimask.batch.record import RunRecord, read_record, record_model
from unimask.batch.rows import (
    ROWS_PER_GROUP,
    Row,
    count_errors,
    labels_to_json,
    part_schema,
    read_rows,
    to_row,
)
from unimask.batch.settings import WorkerOptions
from unimask.errors import ImageError
from unimask.formats.atomic import atomic_path
from unimask.inference.load import load
from unimask.inference.predictor import Predictor
from unimask.inference.thread_map import thread_map
from unimask.inference.weights_digest import weights_digest
from unimask.labels import Task
from unimask.results import Result

if TYPE_CHECKING:
    from pyarrow import parquet

MAX_PENDING_ROWS = 2
"""Largest number of results waiting to become rows; each holds its image."""


class PartSummary(NamedTuple):
    """What was done for a part.

    Attributes:
        part: Number of the part.
        images: Number of images that were segmented; 0 if the part was complete already.
        failed: Number of images of the part that could not be read.
    """

    part: int
    images: int
    failed: int


class PartWorker:
    """Worker that computes parts of a run; processes on one or several machines have one each.

    Args:
        folder: Output folder of the run.
        options: Options of this process.

    Raises:
        CheckpointError: The model does not exist, or cannot be read.
        SettingsError: It is not the model with which the run was begun.
        TaskError: The model was not trained for the task.
    """

    def __init__(self, folder: Path, options: WorkerOptions) -> None:
        self.record: RunRecord = read_record(folder)
        self.options = options
        settings = self.record.settings
        self.predictor: Predictor = load(
            settings["model"],
            device=options.device,
            dtype=settings["dtype"],
            preprocessing=settings["preprocessing"],
            compile=options.compile,
        )
        self.task: Task = self.predictor.resolve_task(settings["task"])
        self.schema = part_schema(self.predictor.description.labels)
        record_model(
            folder,
            {
                "task": self.task,
                "labels": labels_to_json(self.predictor.description.labels),
                "weights": weights_digest(self.predictor.network),
            },
        )

    def process(
        self, part: int, progress: Callable[[int, str | None], None] | None = None
    ) -> PartSummary:
        """Compute a part and move it into place, unless it is complete.

        Args:
            part: Number of the part.
            progress: Function called after each image with the number of images, 1, and the error
                of the image or None.

        Raises:
            OutputError: The part cannot be written.
            SettingsError: An option, or the protocol of a URI, is not supported.
        """
        path = self.record.part_path(part)
        existing: list[Row] | None = None
        if path.exists():
            failed = count_errors(path)
            if not (failed and self.options.retry_errors):
                return PartSummary(part, 0, failed)
            existing = list(read_rows(path)[1])
        items = self.record.read_items(part)
        retried = [i for i in range(len(items)) if existing is None or existing[i]["error"]]
        images = failed = 0

        def counted(rows: Iterator[Row]) -> Iterator[Row]:
            nonlocal images, failed
            for row in rows:
                images += 1
                failed += row["error"] is not None
                yield row
                if progress is not None:
                    progress(1, row["error"])

        with closing(self.segment([items[i] for i in retried])) as segmented:
            rows = counted(segmented)
            self.write(path, rows if existing is None else merge(existing, rows))
        return PartSummary(part, images, failed)

    def segment(self, items: list[InputItem]) -> Generator[Row]:
        """Yield the row of each image; reading, the network and encoding overlap."""
        settings = self.record.settings
        window = settings["window"]
        outcomes = self.predictor.stream(
            [item.source() for item in items],
            self.task,
            threshold=settings["threshold"],
            batch_size=self.options.batch_size,
            window=tuple(window) if isinstance(window, list) else window,
            max_pixels=settings["max_pixels"],
            retain_confidence=False,
            tile=settings["tile"],
            overlap=settings["overlap"],
            scale=settings["scale"],
            on_error="yield",
        )

        def encode(pair: tuple[InputItem, Result | ImageError]) -> Row:
            return to_row(*pair, self.task, settings["model"])

        def count_pixels(pair: tuple[InputItem, Result | ImageError]) -> int:
            outcome = pair[1]
            return 0 if isinstance(outcome, ImageError) else outcome.size[0] * outcome.size[1]

        with closing(outcomes):
            pairs = zip(items, outcomes, strict=True)
            with closing(thread_map(pairs, encode, MAX_PENDING_ROWS, count_pixels)) as encoded:
                for pair, future in encoded:
                    row = future.result()
                    del pair, future  # else the image stays in memory
                    yield row

    def write(self, path: Path, rows: Iterator[Row]) -> None:
        """Write the rows of a part in constant memory, and move the file into place."""
        from pyarrow import parquet

        with atomic_path(path) as temporary:
            with parquet.ParquetWriter(temporary, self.schema, compression="zstd") as writer:
                write_groups(writer, rows)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())  # a part that exists is complete, even after a power cut


def write_groups(writer: "parquet.ParquetWriter", rows: Iterator[Row]) -> None:
    """Write rows in groups of a fixed size, so that equal rows give equal files."""
    import pyarrow

    while group := list(islice(rows, ROWS_PER_GROUP)):
        writer.write_table(pyarrow.Table.from_pylist(group, writer.schema))


def merge(existing: list[Row], rows: Iterator[Row]) -> Iterator[Row]:
    """Yield the existing rows, each failed one replaced by the next of the new rows."""
    for row in existing:
        yield next(rows) if row["error"] else row
