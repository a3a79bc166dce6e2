"""`unimask convert`: a dataset written in another format."""

from pathlib import Path
from typing import Annotated

import typer

from unimask.cli.main import DataArgument, FormatOption, MasksOption, app
from unimask.cli.progress import part_bars
from unimask.formats.atomic import check_writable
from unimask.formats.terminal import Terminal


@app.command()
def convert(
    data: DataArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write, new or empty.")],
    to: Annotated[str, typer.Option(help="coco-panoptic, coco, semantic, instance-ids or yolo.")],
    things: Annotated[
        Path | None,
        typer.Option(help="Another dataset of the same pictures, whose objects lie over DATA's."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this part; all by default.")] = None,
    names: Annotated[
        str | None, typer.Option(help="Names of the classes, if they are only numbered: A,B,...")
    ] = None,
    format: FormatOption = None,
    masks: MasksOption = None,
    link: Annotated[bool, typer.Option("--link", help="Link pictures instead of copying.")] = False,
) -> None:
    """Write a dataset in another format; where objects overlap, a format may need one on top."""
    check_writable(out)
    from unimask.cli.train import parse_names
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
            progress=progress,
        )
    counts = ", ".join(f"{name} {count}" for name, count in written.pictures.items())
    console.print(f"{to}: {counts} pictures in {out}", soft_wrap=True)
    for told in written.told:
        console.print(f"note: {told}", soft_wrap=True)
