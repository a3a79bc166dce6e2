"""`unimask slide`: segment slides and microscopy images of any size at one resolution."""

from pathlib import Path
from typing import Annotated

import typer

from unimask.cli.app import (
    DeviceOption,
    DtypeOption,
    ModelOption,
    OutOption,
    TaskOption,
    ThresholdOption,
    WindowOption,
    app,
    parse_tile,
    parse_window,
)
from unimask.cli.messages import report_failures
from unimask.cli.model_options import load_model
from unimask.cli.predict_rasters import write_rasters
from unimask.errors import SettingsError
from unimask.formats.atomic import check_writable


@app.command()
def slide(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Slides that OpenSlide reads (.svs, .ndpi, .mrxs, ...), .ome.tif files, or "
            "folders of OME-Zarr.",
        ),
    ],
    model: ModelOption = None,
    task: TaskOption = None,
    threshold: ThresholdOption = None,
    out: OutOption = Path("out"),
    mpp: Annotated[
        float | None,
        typer.Option(
            help="Micrometres per pixel of the network's input, as in the training images. By "
            "default, the finest level is read as it is."
        ),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option(min=0, help="Level to read, 0 for the finest; by default --mpp chooses it."),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(
            help="Number (from 1) or name of the channel for each channel of the model, separated "
            "by commas, such as DAPI,DAPI,DAPI."
        ),
    ] = None,
    tissue: Annotated[
        bool, typer.Option(help="Leave out glass of images in bright field (RGB).")
    ] = True,
    window: WindowOption = None,
    tile: Annotated[
        str, typer.Option(help="Side of the tiles in pixels of the network's input, or auto.")
    ] = "auto",
    overlap: Annotated[float, typer.Option(help="Overlap of tiles, 0 to 0.5.")] = 0.25,
    scale: Annotated[
        float, typer.Option(help="Pixels of the network's input per pixel that is read.")
    ] = 1.0,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Largest number of tiles per forward pass.")
    ] = 1,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest distance of polygons from outlines, in pixels.")
    ] = 1.0,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
) -> None:
    """Segment slides into annotations for QuPath, and maps of ids and classes."""
    arguments = {
        "task": task,
        "threshold": threshold,
        "mpp": mpp,
        "level": level,
        "channels": parse_channels(channels),
        "tissue": tissue,
        "window": parse_window(window),
        "tile": parse_tile(tile, False),
        "overlap": overlap,
        "scale": scale,
        "batch_size": batch_size,
        "tolerance": tolerance,
    }
    check_writable(out)
    stems = name_slides(sources)
    failures: list[str] = []
    predictor = load_model(model, device, dtype, "authors", False, None, None)
    write_rasters(predictor.predict_slide, stems, out, failures, **arguments)
    report_failures(failures)


def parse_channels(text: str | None) -> list[int | str] | None:
    """Parse the option --channels: whole numbers are numbers of channels, other words names."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    return [int(part) if part.isascii() and part.isdecimal() else part for part in parts]


def name_slides(sources: list[str]) -> dict[str, str]:
    """Return the start of the names of the files of each slide.

    Raises:
        SettingsError: Two slides would be written to the same files.
    """
    from unimask.inference.slide_mixin import slide_stem

    stems: dict[str, str] = {}
    for source in sources:
        stem = slide_stem(source)
        if stem in stems.values():
            raise SettingsError(f"two slides are named {stem}: give each its own --out")
        stems[source] = stem
    return stems
