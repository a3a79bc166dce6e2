"""The Typer application, and the options and parsers that several commands share."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimask.cli.completion import (
    complete_devices,
    complete_dtypes,
    complete_models,
    complete_tasks,
)
from unimask.errors import SettingsError
from unimask.version import __version__

if TYPE_CHECKING:
    from unimask.config import Window
    from unimask.inference.tiles import TileOption

app = typer.Typer(
    name="unimask",
    help="Universal image segmentation: semantic, instance and panoptic, with one network.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Path of the dataset folder, or name of a dataset on the Hugging Face Hub.",
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        help="Format of the labels, if detection is wrong: coco, coco-panoptic, yolo, "
        "labelme, cvat, 'semantic maps', 'instance ids', 'class and object "
        "channels', ..."
    ),
]
MasksOption = Annotated[
    str | None,
    typer.Option(
        help="Folder or file name ending of the label maps to read, if images have "
        "several; A,B,... reads one binary mask per class."
    ),
]
NamesOption = Annotated[
    str | None,
    typer.Option(
        help="Comma-separated class names (A,B,...), for labels that only number the classes."
    ),
]
BandsOption = Annotated[
    str | None,
    typer.Option(
        "--bands",
        help="Scenes (GeoTIFF): band of each channel, counted from 1, such as 4,3,2; by default "
        "red, green and blue, or all bands.",
    ),
]
ChipOption = Annotated[
    int | None,
    typer.Option(
        min=64,
        max=8192,
        help="Scenes (GeoTIFF): side in pixels of the chips that they are cut into.",
        show_default="512",
    ),
]
SlicesOption = Annotated[
    int | None,
    typer.Option(
        help="Volumes: number of neighbouring slices that are channels of the image: 1, 3 or 5.",
        show_default="1, or that of the model",
    ),
]
PreprocessingOption = Annotated[
    str,
    typer.Option(
        help="Preprocessing of images: authors (resize to the test size of the model's "
        "authors) or hub (as in preprocessor_config.json, which resizes to 384x384 "
        "without keeping the aspect ratio for Mask2Former on the Hub)."
    ),
]

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Model to run (required); see predict.",
        autocompletion=complete_models,
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        help="Task to run: panoptic, instance or semantic; by default the most general.",
        autocompletion=complete_tasks,
    ),
]
OutOption = Annotated[
    Path,
    typer.Option("--out", "-o", help="Output folder: new, empty or from an earlier run."),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Minimum score of a segment, from 0 to 1; see predict."),
]
DeviceOption = Annotated[
    str,
    typer.Option(help="Device to run on: auto, cpu, cuda or mps.", autocompletion=complete_devices),
]
DtypeOption = Annotated[
    str,
    typer.Option(
        help="Number type of the network: float32, bfloat16, float16, int8 or auto.",
        autocompletion=complete_dtypes,
    ),
]
BatchSizeOption = Annotated[
    int, typer.Option(min=1, help="Largest number of equally sized images per forward pass.")
]
MaxPixelsOption = Annotated[
    int, typer.Option(min=1, help="Largest image accepted, in pixels (height x width).")
]

LabelsOption = Annotated[
    Path | None,
    typer.Option(
        help="For an .onnx or .xml file of another program: JSON file with names and is_thing of "
        "its classes, or COCO's categories; by default those of --rules."
    ),
]

RulesOption = Annotated[
    str | None,
    typer.Option(
        help="For an .onnx or .xml file of another program: the model that was exported (folder, "
        "bundled name or Hub id), whose resizing, normalisation and thresholds apply."
    ),
]

WindowOption = Annotated[
    str | None,
    typer.Option(
        help="Range of pixel values to map to 0..255 for images of more than 8 bits: "
        "LOW,HIGH, auto for the 0.1 and 99.9 percentiles of each image, or z-score for its mean "
        "minus and plus 4 standard deviations. By default that of the model."
    ),
]

CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile", help="Compile the network with torch.compile; pays off when input sizes recur."
    ),
]

TtaOption = Annotated[
    bool,
    typer.Option(
        "--tta",
        help="Predict from several views of each image (test-time augmentation): for semantic, the "
        "authors' sizes, mirrored and not; for other tasks, the image and its mirror image.",
    ),
]

OutlinesOption = Annotated[
    str | None,
    typer.Option(
        help="Polygons of yolo, labelme, cvat and geojson: exact (every pixel) or simple (few "
        "vertices, easily edited); by default simple for labelme and cvat, else exact."
    ),
]

OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace existing output files, including those that unimask did not write.",
    ),
]


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        print(f"unimask {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Universal image segmentation: semantic, instance and panoptic, with one network."""


def parse_names(text: str | None) -> tuple[str, ...] | None:
    """Parse comma-separated names."""
    if text is None:
        return None
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise SettingsError(f"--names {text!r}: pass names, such as nucleus,background")
    return parts


def parse_bands(text: str | None) -> tuple[int, ...] | None:
    """Parse numbers of bands, separated by commas.

    Raises:
        SettingsError: The text is no list of numbers.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and int(part) for part in parts):
        raise SettingsError(f"--bands {text}: pass numbers of bands from 1 on, such as 4,3,2")
    return tuple(map(int, parts))


def parse_window(text: str | None) -> "Window":
    """Parse LOW,HIGH, auto or z-score.

    Raises:
        SettingsError: The text is none of them, or LOW is not below HIGH.
    """
    if text in (None, "auto", "z-score"):
        return text  # type: ignore[return-value]
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SettingsError(f"--window {text!r}: pass LOW,HIGH such as 0,4095, auto or z-score")
    if high <= low:
        raise SettingsError(f"--window {text}: LOW must be below HIGH")
    return low, high


def parse_tile(text: str, confidence: bool) -> "TileOption":
    """Parse the option --tile.

    Raises:
        SettingsError: It is no side of a tile, or does not go with --confidence.
    """
    if text in ("auto", "none"):
        return "auto" if text == "auto" else None
    if not text.isascii() or not text.isdecimal():
        raise SettingsError(f"--tile {text}: pass a side in pixels, such as 1024, auto or none")
    if confidence:
        raise SettingsError(
            "--confidence does not go with --tile: results of tiles have no confidence"
        )
    return int(text)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Parse HEIGHTxWIDTH.

    Raises:
        SettingsError: The text has another form.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if match is None:
        raise SettingsError(f"--size {text!r}: pass HEIGHTxWIDTH such as 800x1088")
    return int(match[1]), int(match[2])
