"""`unimask select`: list the images whose labels would improve a model most."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from unimask.cli.app import (
    DeviceOption,
    OverwriteOption,
    WindowOption,
    app,
    parse_window,
)
from unimask.cli.completion import complete_models, complete_tasks
from unimask.cli.messages import print_error
from unimask.cli.progress import part_bars
from unimask.errors import printable
from unimask.formats.output_file import check_image_suffix, check_output_files, write_report
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.selection import Selection


@app.command()
def select(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGES...", help="Folders, files or glob patterns.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="Model to improve: a training run, a folder, or a Hub id.",
            autocompletion=complete_models,
        ),
    ],
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="Number of images to select.")
    ] = 20,
    task: Annotated[
        str | None,
        typer.Option(
            help="Task of the predictions: panoptic, instance or semantic; by default the "
            "model's most general task.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    labelled: Annotated[
        Path | None,
        typer.Option(
            help="Dataset of the images that already have labels: copies of them are left "
            "out, and images unlike them are preferred."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder to copy the selected images into."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Image file to draw the selected images into, with predictions."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="JSON file to write the paths and scores to.")
    ] = None,
    window: WindowOption = None,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Select the unlabelled images whose labels would improve a model most."""
    limits = parse_window(window)
    check_output_files(sheet, json, overwrite=overwrite)
    if sheet is not None:
        check_image_suffix(sheet)
    from unimask.formats.output_file import write_image
    from unimask.formats.output_folder import open_output_folder
    from unimask.inference.load import load
    from unimask.selection import select as run_select
    from unimask.selection.contact_sheet import draw_contact_sheet

    if out is not None:
        open_output_folder(out)
    predictor, console = load(model, device=device), Terminal()  # type: ignore[arg-type]
    with part_bars(console) as bars:
        selection = run_select(
            images,
            predictor,
            count,
            task=task,
            labelled=labelled,
            window=limits,
            progress=lambda done, total: bars("predicting", done, total),
        )
    print_selection(console, selection)
    if out is not None:
        copy_images(selection, out)
        console.print(f"copied to {out}/", soft_wrap=True)
    if sheet is not None:
        write_image(sheet, draw_contact_sheet(selection, predictor, task), overwrite=overwrite)
        console.print(f"contact sheet: {sheet}", soft_wrap=True)
    if json is not None:
        write_report(json, selection.to_dict(), overwrite=overwrite)
    for failure in selection.failures:
        print_error(failure)
    if selection.failures:
        raise typer.Exit(2)


def print_selection(console: Terminal, selection: "Selection") -> None:
    """Print the selected images with their scores."""
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    for name in ("uncertainty", "disagreement"):
        table.add_column(name, justify="right")
    table.add_column("image", overflow="fold")
    for number, image in enumerate(selection.images, start=1):
        uncertainty = "-" if image.uncertainty is None else f"{image.uncertainty:.3f}"
        path = printable(str(image.path))
        table.add_row(str(number), uncertainty, f"{image.disagreement:.3f}", path)
    console.print(table)
    console.print(f"{len(selection.images)} of {selection.num_candidates} images selected")


def copy_images(selection: "Selection", out: Path) -> None:
    """Copy the selected images into an output folder, under unique names.

    Raises:
        OutputError: The folder holds files of others, or cannot be written to.
    """
    from unimask.curation.convert import unused_name
    from unimask.formats.output_folder import open_output_folder

    folder, used = open_output_folder(out), set[str]()
    for image in selection.images:
        with folder.new_file(unused_name(Path(image.path.name), used)) as temporary:
            shutil.copyfile(image.path, temporary)
