"""Read the output of a batch run as results."""

from collections.abc import Generator
from pathlib import Path
from typing import Literal, overload

from unimask.batch.record import RECORD_NAME, RunRecord, import_pyarrow, read_record
from unimask.batch.rows import from_row, read_rows
from unimask.errors import DataError, ImageError
from unimask.processing.arguments import check_choice
from unimask.results import Result

FailedImages = Literal["raise", "yield", "skip"]


def is_batch_output(folder: str | Path) -> bool:
    """Return whether a folder is the output of a batch run."""
    return (Path(folder) / RECORD_NAME).is_file()


@overload
def read_batch(
    folder: str | Path, *, on_error: Literal["raise", "skip"] = "raise"
) -> Generator[Result]: ...


@overload
def read_batch(
    folder: str | Path, *, on_error: Literal["yield"]
) -> Generator[Result | ImageError]: ...


def read_batch(
    folder: str | Path, *, on_error: FailedImages = "raise"
) -> Generator[Result | ImageError]:
    """Read the output of `unimask batch` as results, one by one in constant memory.

    Results have no pixels and no confidence; `path` is the path of the image, or for a member of an
    archive the path of the archive followed by the name.

    Args:
        folder: Output folder of a complete run.
        on_error: What an image that could not be read does: "raise" raises its error, "yield"
            yields the error in the place of the result, and "skip" leaves the image out.

    Returns:
        Iterator with the results in the order of the images.

    Raises:
        DataError: The folder is no output of a run, parts are missing, or a part is damaged.
        ImageError: An image could not be read, and `on_error` is "raise".
        MissingExtraError: pyarrow is not installed.
        SettingsError: `on_error` has another value.

    Example:
        >>> import unimask
        >>> for result in unimask.read_batch("results", on_error="skip"):  # doctest: +SKIP
        ...     print(result.path, len(result))
    """
    check_choice("on_error", on_error, ("raise", "yield", "skip"))
    import_pyarrow()
    record = read_record(Path(folder))
    check_complete(record)

    def results() -> Generator[Result | ImageError]:
        for part in range(record.num_parts):
            labels, rows = read_rows(record.part_path(part))
            for row in rows:
                outcome = from_row(row, labels)
                if not isinstance(outcome, ImageError) or on_error == "yield":
                    yield outcome
                elif on_error == "raise":
                    raise outcome

    return results()


def check_complete(record: RunRecord) -> None:
    """Test that all parts exist.

    Raises:
        DataError: Some are missing.
    """
    missing = sum(not record.part_path(part).exists() for part in range(record.num_parts))
    if missing:
        raise DataError(
            f"{record.folder} lacks {missing} of {record.num_parts} parts: run the same unimask "
            "batch command again, in each shard"
        )
