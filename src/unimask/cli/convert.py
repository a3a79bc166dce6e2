"""`unimask convert`: write a dataset in another format."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from unimask.cli.app import (
    BandsOption,
    ChipOption,
    DataArgument,
    FormatOption,
    MasksOption,
    NamesOption,
    OutlinesOption,
    app,
    parse_bands,
    parse_names,
)
from unimask.cli.messages import print_error
from unimask.cli.progress import part_bars
from unimask.cli.result_lines import COLUMNS
from unimask.errors import SettingsError
from unimask.formats.atomic import check_writable
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.curation.convert import ConversionResult

BATCH_RECORD = "_batch.json"
"""File in the output folder of `unimask batch`, tested here without importing that package."""


@app.command()
def convert(
    data: DataArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder, new or empty.")],
    to: Annotated[
        str,
        typer.Option(
            help="Format to write: coco, coco-panoptic, semantic, instance-ids, yolo, labelme, "
            "cvat or geojson."
        ),
    ],
    things: Annotated[
        Path | None,
        typer.Option(
            help="Path of a second dataset of the same images; its objects are drawn over "
            "DATA's labels."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Convert this split only; by default all splits.")
    ] = None,
    names: NamesOption = None,
    format: FormatOption = None,
    masks: MasksOption = None,
    bands: BandsOption = None,
    chip: ChipOption = None,
    link: Annotated[
        bool,
        typer.Option("--link", help="Create symbolic links to the images instead of copying them."),
    ] = False,
    no_images: Annotated[
        bool,
        typer.Option(
            "--no-images",
            help="For the output of unimask batch: write labels only, whose names of images are "
            "relative to the folder of all images.",
        ),
    ] = False,
    outlines: OutlinesOption = None,
) -> None:
    """Convert a dataset to another format; some formats cannot store overlapping objects.

    DATA may also be the output of unimask batch.
    """
    check_writable(out)
    console = Terminal()
    if (data / BATCH_RECORD).is_file():
        given = {"--things": things, "--split": split, "--names": names, "--format": format}
        refuse_options(data, given | {"--masks": masks, "--bands": bands, "--chip": chip})
        convert_batch(console, data, out, to, link=link, no_images=no_images, outlines=outlines)
        return
    if no_images:
        raise SettingsError(f"--no-images: {data} is no output of unimask batch; omit it")
    from unimask.curation import convert as run_convert

    with part_bars(console) as progress:
        written = run_convert(
            data,
            out,
            to=to,
            things=things,
            split=split,
            names=parse_names(names),
            format=format,
            masks=masks,
            bands=parse_bands(bands),
            chip=chip,
            link=link,
            outlines=outlines,  # type: ignore[arg-type]
            progress=progress,
        )
    print_written(console, written, out, to)


def print_written(console: Terminal, written: "ConversionResult", out: Path, to: str) -> None:
    """Print the number of images of each split, and notes about what the format cannot store."""
    counts = ", ".join(f"{name} {count}" for name, count in written.images.items())
    console.print(f"{to}: {counts} images in {out}", soft_wrap=True)
    for note in written.notes:
        console.print(f"note: {note}", soft_wrap=True)


def refuse_options(data: Path, options: Mapping[str, object]) -> None:
    """Refuse options that only datasets have.

    Raises:
        SettingsError: One is given.
    """
    for name, value in options.items():
        if value is not None:
            raise SettingsError(f"{name}: {data} is output of unimask batch; omit it")


def convert_batch(
    console: Terminal,
    data: Path,
    out: Path,
    to: str,
    *,
    link: bool,
    no_images: bool,
    outlines: str | None,
) -> None:
    """Convert the output of a batch run; images that could not be read are left out."""
    from unimask.batch import count_failed, parse_shard, read_batch
    from unimask.batch.record import read_record
    from unimask.curation import write_predictions

    record = read_record(data)
    failures: list[str] = []
    with Progress(
        *COLUMNS, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        row = bar.add_task("converting", total=record.num_images, rate="")
        written = write_predictions(
            read_batch(data, on_error="skip"),
            out,
            to=to,
            link=link,
            outlines=outlines,  # type: ignore[arg-type]
            progress=lambda _: bar.advance(row),
            failed=lambda error: failures.append(str(error)),
            root=record.root if no_images else None,
        )
    print_written(console, written, out, to)
    missing = count_failed(record, parse_shard(None))
    if missing:
        console.print(f"note: {missing:,} images that could not be read are left out")
    for failure in failures:
        print_error(failure)
    if failures:
        raise typer.Exit(2)
