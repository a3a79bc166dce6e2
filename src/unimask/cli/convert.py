"""`unimask convert`: write a dataset in another format."""

from pathlib import Path
from typing import Annotated

import typer

from unimask.cli.app import (
    DataArgument,
    FormatOption,
    MasksOption,
    OutlinesOption,
    app,
    parse_names,
)
from unimask.cli.progress import part_bars
from unimask.formats.atomic import check_writable
from unimask.formats.terminal import Terminal


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
    names: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated class names (A,B,...), for labels that only number the classes."
        ),
    ] = None,
    format: FormatOption = None,
    masks: MasksOption = None,
    link: Annotated[
        bool,
        typer.Option("--link", help="Create symbolic links to the images instead of copying them."),
    ] = False,
    outlines: OutlinesOption = None,
) -> None:
    """Convert a dataset to another format; some formats cannot store overlapping objects."""
    check_writable(out)
    from unimask.curation import convert as run_convert

    console = Terminal()
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
            link=link,
            outlines=outlines,  # type: ignore[arg-type]
            progress=progress,
        )
    counts = ", ".join(f"{name} {count}" for name, count in written.images.items())
    console.print(f"{to}: {counts} images in {out}", soft_wrap=True)
    for note in written.notes:
        console.print(f"note: {note}", soft_wrap=True)
