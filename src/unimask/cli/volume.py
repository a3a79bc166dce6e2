"""`unimask volume`: segment volumes of CT, MRI, ultrasound and microscopy slice by slice."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from unimask.cli.app import (
    BatchSizeOption,
    CompileOption,
    DeviceOption,
    DtypeOption,
    ModelOption,
    OutOption,
    TaskOption,
    ThresholdOption,
    app,
)
from unimask.cli.app import parse_window as parse_values
from unimask.cli.model_options import load_model
from unimask.cli.result_lines import COLUMNS
from unimask.errors import SettingsError, printable
from unimask.formats.atomic import check_writable
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.volumes import Volume, VolumeResult

MAX_LISTED = 20
"""Largest number of rows of the printed table; the CSV file holds all."""


@app.command()
def volume(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SCAN",
            help="NIfTI file, folder of DICOM files, DICOM file with several frames, NRRD file or "
            "TIFF stack.",
        ),
    ],
    model: ModelOption = None,
    task: TaskOption = None,
    threshold: ThresholdOption = None,
    out: OutOption = Path("out"),
    axis: Annotated[
        str,
        typer.Option(
            help="Direction of slicing: axial, coronal, sagittal, the index of an axis of the "
            "array (0, 1, 2), or auto for the axis with the largest spacing."
        ),
    ] = "auto",
    window: Annotated[
        str | None,
        typer.Option(
            help="Values that become black and white (LOW,HIGH); a preset for CT: abdomen, bone, "
            "brain, liver, lung, mediastinum, soft-tissue, spine, stroke or subdural; auto for "
            "the 0.1 and 99.9 percentiles of the volume; or z-score for its mean minus and plus 4 "
            "standard deviations. By default that of the model, or auto above 8 bits."
        ),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            help="Further image of the case, for a model that was trained on several, such as "
            "another sequence of an MRI; repeatable, in the order of the training."
        ),
    ] = None,
    window_center: Annotated[
        float | None, typer.Option(help="Centre of the window as in DICOM, instead of --window.")
    ] = None,
    window_width: Annotated[
        float | None, typer.Option(help="Width of the window as in DICOM.")
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(help="DICOM: number from 1 or UID of the series, if the folder has several."),
    ] = None,
    seg: Annotated[
        bool, typer.Option("--seg", help="Write a DICOM SEG too; the source must be DICOM.")
    ] = False,
    batch_size: BatchSizeOption = 1,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    compile: CompileOption = False,
) -> None:
    """Segment a volume slice by slice into label maps and a table of volumes."""
    values = parse_volume_window(window)
    check_writable(out)
    from unimask.volumes import open_volume
    from unimask.volumes.dicom_seg_file import source_images
    from unimask.volumes.windows import WindowOptions

    WindowOptions(values, window_center, window_width)
    scan = open_volume(source, series)
    if seg and scan.kind != "dicom":
        raise SettingsError(f"--seg: {source} is no DICOM, to which a DICOM SEG refers")
    if seg:
        source_images(scan)  # raises now, not after the prediction, if they lack UIDs
    predictor = load_model(model, device, dtype, "authors", compile, None, None)
    console = Terminal()
    with Progress(
        *COLUMNS, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        row = bar.add_task("slices", total=None, rate="")
        result = predictor.predict_volume(
            [scan, *(channel or ())],
            task,
            axis=int(axis) if axis in ("0", "1", "2") else axis,
            window=values,
            window_center=window_center,
            window_width=window_width,
            threshold=threshold,
            batch_size=batch_size,
            progress=lambda done, total: bar.update(row, completed=done, total=total),
        )
    paths = result.save(out, seg=seg)
    print_result(console, scan, result)
    names = ", ".join(path.name for path in paths.values())
    console.print(f"written to {out}/: {names}", soft_wrap=True)


def parse_volume_window(text: str | None) -> "str | tuple[float, float] | None":
    """Parse LOW,HIGH; other words are names of presets."""
    if text is None or text[:1].isalpha():
        return text
    return parse_values(text)


def print_result(console: Terminal, scan: "Volume", result: "VolumeResult") -> None:
    """Print the grid, the slices and the window, and the table of volumes."""
    from unimask.volumes.windows import format_window

    sides = " x ".join(map(str, scan.shape))
    spacing = " x ".join(f"{each:.4g}" for each in scan.spacing)
    plane = result.plane
    console.print(
        f"{sides} voxels of {spacing} mm; {scan.shape[plane.axis]} {plane.name} slices along axis "
        f"{plane.axis}, {plane.spacing[0]:.4g} mm apart; window {format_window(result.window)}",
        soft_wrap=True,
    )
    if not result.structures:
        console.print("nothing was found (see --threshold and --window)")
        return
    table = Table("class", "object", "ml", "components", "slices", box=None, pad_edge=False)
    for each in result.structures[:MAX_LISTED]:
        number = "" if each.id is None else str(each.id)
        first, last = each.slices
        cells = (f"{each.ml:.4g}", str(each.components), f"{first} to {last}")
        table.add_row(printable(each.label), number, *cells)
    console.print(table)
    more = len(result.structures) - MAX_LISTED
    if more > 0:
        console.print(f"and {more:,} more in the table")
