"""`unimask check`: find errors in a dataset before training on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from unimask.cli.app import (
    BandsOption,
    ChipOption,
    DataArgument,
    FormatOption,
    MasksOption,
    NamesOption,
    OverwriteOption,
    WindowOption,
    app,
    parse_bands,
    parse_names,
    parse_window,
)
from unimask.cli.progress import part_bars
from unimask.formats.output_file import check_image_suffix, check_output_files, write_report
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.curation.check import Report
    from unimask.curation.survey import Survey

EXIT_CODE_ERRORS = 1

MAX_FILES_LISTED = 5
"""Number of files listed per finding in the terminal; the JSON report lists all."""


@app.command()
def check(
    data: DataArgument,
    split: Annotated[
        str | None, typer.Option(help="Check this split only; by default all splits.")
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of queries of the network to train; images with more objects are "
            "reported.",
        ),
    ] = None,
    names: NamesOption = None,
    format: FormatOption = None,
    masks: MasksOption = None,
    bands: BandsOption = None,
    chip: ChipOption = None,
    window: WindowOption = None,
    channels: Annotated[
        int, typer.Option(min=1, help="Number of channels per image; 3 for RGB.")
    ] = 3,
    preview: Annotated[
        Path | None, typer.Option(help="Image file to draw samples with their labels into.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="JSON file to write the full report to.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Check a dataset for errors: exit code 0 if it is sound, 1 if there is a severe error."""
    check_output_files(preview, json, overwrite=overwrite)
    if preview is not None:
        check_image_suffix(preview)
    from unimask.curation import check as run_check
    from unimask.curation.board import draw_board
    from unimask.datasets import open_dataset
    from unimask.datasets.windows import set_window
    from unimask.processing.value_ranges import collect_range_warnings

    console, limits = Terminal(), parse_window(window)
    options: dict[str, Any] = {
        "names": parse_names(names),
        "channels": channels,
        "format": format,
        "masks": masks,
        "bands": parse_bands(bands),
        "chip": chip,
    }
    with part_bars(console) as progress:
        report = run_check(
            data, split=split, queries=queries, window=limits, progress=progress, **options
        )
    print_report(console, report)
    if preview is not None:
        dataset = set_window(open_dataset(data, split, **options), limits)
        with collect_range_warnings():  # the report already lists them
            drawn = draw_board(dataset, preview, overwrite=overwrite)
        if drawn:
            console.print(f"{drawn} images with their labels: {preview}", soft_wrap=True)
    if json is not None:
        write_report(json, report.to_dict(), overwrite=overwrite)
    if not report.passed:
        raise typer.Exit(EXIT_CODE_ERRORS)


def print_report(console: Terminal, report: "Report") -> None:
    """Print the class statistics and the findings of a report."""
    counts = ", ".join(map(format_image_counts, report.surveys))
    console.print(f"{report.format}: {counts}", soft_wrap=True)
    if report.notes:
        console.print(f"labels: {report.notes}", soft_wrap=True)
    print_classes(console, report)
    for survey in report.surveys:
        console.print(format_sizes(survey), soft_wrap=True)
    for finding in report.findings:
        console.print(f"{'error' if finding.severe else 'note'}: {finding.message}", soft_wrap=True)
        for file in finding.files[:MAX_FILES_LISTED]:
            console.print(f"    {file}", soft_wrap=True)
        if len(finding.files) > MAX_FILES_LISTED:
            console.print(
                f"    and {len(finding.files) - MAX_FILES_LISTED} more (--json lists all)"
            )
    if not report.findings:
        console.print("no problems found")


def format_image_counts(survey: "Survey") -> str:
    """Format the numbers of images of a split."""
    bad, empty = len(survey.unreadable), len(survey.empty)
    readable = survey.images - bad
    return f"{survey.name} {survey.images} ({readable} read, {bad} corrupt, {empty} empty)"


def format_sizes(survey: "Survey") -> str:
    """Format the range of image sizes of a split, and its ignored and overlapping shares."""
    from unimask.curation.findings import format_count

    if not survey.sizes:
        return f"{survey.name}: no image could be read"
    smallest, largest = (pick(survey.sizes, key=count_pixels) for pick in (min, max))
    parts = [f"{survey.name}: {format_size(smallest)} to {format_size(largest)} pixels"]
    if survey.most_things[0]:
        parts.append(f"at most {survey.most_things[0]} objects in an image")
    for name, count in (("ignored", survey.ignored), ("overlapping", survey.overlapping)):
        if count:
            parts.append(f"{100 * count / survey.pixels:.2f} % of pixels {name}")
    if survey.crowds:
        parts.append(format_count(survey.crowds, "crowd"))
    return ", ".join(parts)


def count_pixels(size: tuple[int, int]) -> int:
    """Return the number of pixels of a size."""
    return size[0] * size[1]


def format_size(size: tuple[int, int]) -> str:
    """Format a size as HEIGHTxWIDTH."""
    return f"{size[0]}x{size[1]}"


def print_classes(console: Terminal, report: "Report") -> None:
    """Print the objects, images and share of pixels of each class in each split."""
    table = Table(box=None, pad_edge=False)
    table.add_column("class", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    for survey in report.surveys:
        for column in (f"{survey.name}: objects", "images", "% pixels"):
            table.add_column(column, justify="right", no_wrap=True)
    labels = report.surveys[0].labels
    absent = 0
    for index, (name, thing) in enumerate(zip(labels.names, labels.is_thing, strict=True)):
        same_labels = [s for s in report.surveys if s.labels.names == labels.names]
        if not any(survey.shown[index] for survey in same_labels):
            absent += 1
            continue
        cells = []
        for survey in report.surveys:
            if survey not in same_labels:
                cells += ["-"] * 3
                continue
            share = 100 * int(survey.areas[index]) / max(survey.pixels, 1)
            cells += [str(survey.objects[index]), str(survey.shown[index]), f"{share:.2f}"]
        table.add_row(name, "thing" if thing else "stuff", *cells)
    needed = Terminal(width=1000).measure(table).maximum  # numbers must not be cut off
    Terminal(width=max(console.width, needed)).print(table)
    if absent:
        console.print(f"{absent} of {len(labels)} classes do not occur")
