"""`unimask predict --to`: write the predictions of all images as one dataset."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.progress import Progress

from unimask.cli.messages import print_error
from unimask.cli.result_lines import (
    COLUMNS,
    describe_candidates,
    describe_counts,
    format_rate,
    print_empty,
)
from unimask.errors import SettingsError
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.checkpoints import ModelDescription
    from unimask.results import Result

Item = TypeVar("Item")


def check_dataset_options(
    to: str | None,
    out: Path,
    sources: list[str],
    *,
    outlines: str | None,
    link: bool,
    confidence: bool,
) -> None:
    """Test the options of a dataset of predictions before any computation.

    Raises:
        OutputError: The output folder is not empty, or lies in a folder of images.
        SettingsError: An option is unknown, or has no effect.
    """
    if to is None:
        for name, value in (("--link", link), ("--outlines", outlines)):
            if value:
                raise SettingsError(f"{name} needs --to: name the format of the dataset to write")
        return
    from unimask.curation.convert import check_apart, check_empty
    from unimask.curation.writers.create import check_format

    if confidence:
        raise SettingsError("--confidence writes an image for each image: omit it, or --to")
    check_format(to, outlines)
    check_empty(out)
    for source in sources:
        check_apart(source, out)


def write_dataset(
    results: Iterator[tuple[str, "Result"]],
    out: Path,
    failures: list[str],
    *,
    to: str,
    total: int,
    link: bool,
    outlines: str | None,
) -> None:
    """Write results as a dataset, and print what it contains; report the failures at the end."""
    from unimask.curation import write_predictions

    console = Terminal()
    counts: Counter[str] = Counter()
    empty: list[str] = []
    with Progress(
        *COLUMNS, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        row = bar.add_task("segmenting", total=total, rate="")

        def count(result: "Result") -> None:
            counts.update(segment.label for segment in result.segments)
            if result.candidates:
                empty.append(describe_candidates(str(result.path), result))
            bar.update(row, advance=1, rate=format_rate(bar.tasks[row].speed))

        first = list(islice(results, 1))
        written = None
        every = (result for _, result in chain(pop_all(first), results))
        try:
            if first:
                written = write_predictions(
                    every,
                    out,
                    to=to,
                    link=link,
                    outlines=outlines,  # type: ignore[arg-type]
                    progress=count,
                    failed=lambda error: failures.append(str(error)),
                )
        finally:
            for failure in failures:
                print_error(failure)
    if written is not None:
        images = sum(written.images.values())
        console.print(f"{to}: {images} images in {out}, {describe_counts(counts)}", soft_wrap=True)
        print_empty(console, empty)
        for note in written.notes:
            console.print(f"note: {note}", soft_wrap=True)
    if failures:
        raise typer.Exit(2)


def pop_all(items: list[Item]) -> Iterator[Item]:
    """Yield the items of a list and remove each, so that it does not stay in memory."""
    while items:
        yield items.pop(0)


def choose_task(to: str | None, task: str | None, description: "ModelDescription") -> str | None:
    """Return the task to predict: the given one, or the one that a format represents best.

    Args:
        to: Format of the dataset; None for no dataset.
        task: Task that the user chose; None for none.
        description: Tasks and classes of the model.
    """
    if to is None or task is not None:
        return task
    from unimask.curation.predictions import preferred_task

    return preferred_task(to, description.tasks, description.labels)
