"""`unimask export`: write a model in another library's format."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimask.cli.app import OverwriteOption, app, parse_size
from unimask.cli.completion import complete_models, complete_tasks
from unimask.errors import SettingsError
from unimask.formats.atomic import check_writable
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.inference.upload import Upload

FORMATS = ("huggingface", "onnx", "openvino")


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Model to export: a bundled name such as nuclei, a folder, a training run or "
            "a Hub id.",
            autocompletion=complete_models,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Output: a folder for huggingface, a .onnx or .xml file. Required without --push.",
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            help="Format to write: huggingface (a folder that transformers and unimask load), "
            "onnx (a file that ONNX Runtime, TensorRT and unimask run) or openvino."
        ),
    ] = "huggingface",
    size: Annotated[
        str | None,
        typer.Option(
            help="Graphs: size of the network's input as HEIGHTxWIDTH; by default the size to "
            "which the model resizes an image of 480x640."
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, max=65536, help="Graphs: number of images per call.", show_default="any number"
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Graphs: the only task of a OneFormer's graph; by default the graph has an input "
            "that selects the task.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    input_dtype: Annotated[
        str | None,
        typer.Option(
            help="Graphs: type of the input's pixels: float32 or uint8.", show_default="float32"
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(
            help="onnx: version of ONNX's operators: 18, or 17 for older runtimes.",
            show_default="18",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="openvino: float32, float16 (half the file) or int8 (faster; needs --images).",
            show_default="float32",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Graphs: folder with images on which the file is compared with the model, in "
            "addition to rendered and random ones; int8 is calibrated on them."
        ),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME",
            help="huggingface: repository on the Hugging Face Hub to upload the model to, with a "
            "model card; created if it does not exist.",
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="--push: make a new repository private.")
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option(help="--push: branch, created if it does not exist.", show_default="main"),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            help="--push: licence of the weights, such as apache-2.0; by default that of the "
            "published weights."
        ),
    ] = None,
    example: Annotated[
        list[Path] | None,
        typer.Option(
            help="--push: image for the widget of the model's page, uploaded with the model; may "
            "be repeated."
        ),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Export a model to another library's format, or fail if that library has no such network."""
    if format not in FORMATS:
        raise SettingsError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    options = {
        "size": parse_size(size),
        "batch": batch,
        "task": task,
        "input_dtype": input_dtype,
        "opset": opset,
        "precision": precision,
    }
    settings = {name: value for name, value in options.items() if value is not None}
    upload_options = {
        "private": private or None,
        "revision": revision,
        "licence": licence,
        "examples": tuple(example or ()) or None,
    }
    upload = {name: value for name, value in upload_options.items() if value is not None}
    check_destination(out, push, upload)
    if format != "huggingface":
        if out is None or push is not None:
            raise SettingsError("--push belongs to --format huggingface: pass --out instead")
        if opset is not None and format != "onnx":
            raise SettingsError("--opset belongs to --format onnx: add it, or leave it out")
        export_graph(format, model, out, settings, images, overwrite)
        return
    for name in [*settings, *(["images"] if images else []), *(["overwrite"] if overwrite else [])]:
        option = "--" + name.replace("_", "-")
        raise SettingsError(f"{option} belongs to --format onnx or openvino: add one")
    uploader = None if push is None else open_upload(push, upload)
    if out is not None:
        export_huggingface(model, out)
    if uploader is not None:
        push_model(model, uploader)


def check_destination(out: Path | None, push: str | None, upload: dict[str, Any]) -> None:
    """Check that there is an output, and that options of the upload are given with it only.

    Raises:
        SettingsError: There is none, or such an option is given without --push.
    """
    if push is None and upload:
        option = next(iter(upload)).replace("examples", "example")
        raise SettingsError(f"--{option} belongs to --push OWNER/NAME: add it, or leave it out")
    if push is None and out is None:
        raise SettingsError("pass --out, or --push OWNER/NAME to upload the model to the Hub")


def open_upload(repository: str, options: dict[str, Any]) -> "Upload":
    """Check the options of an upload and the access token, before anything is written."""
    from unimask.inference.upload import PushSettings, Upload

    return Upload(PushSettings(repository=repository, **options))


def push_model(model: str, upload: "Upload") -> None:
    """Upload a model to the Hugging Face Hub, and print the commit's URL."""
    from unimask.checkpoints import transformers_incompatibility
    from unimask.inference.load import read_source

    checkpoint, console = read_source(model), Terminal()
    why = transformers_incompatibility(checkpoint.description.config)
    if why is not None:
        console.print(f"unimask loads this model, transformers does not: {why}", soft_wrap=True)
    console.print(upload.push(checkpoint, model), soft_wrap=True)


def export_huggingface(model: str, out: Path) -> None:
    """Write a folder in the Hugging Face schema."""
    check_writable(out)
    from unimask.checkpoints import transformers_incompatibility, write_huggingface
    from unimask.checkpoints.huggingface.folder import FILES
    from unimask.formats.output_folder import open_output_folder

    if all((out / name).exists() for name in FILES):
        raise SettingsError(f"{out} already holds a model: choose another folder")
    open_output_folder(out).check(FILES)
    from unimask.inference.load import read_source

    checkpoint = read_source(model)
    why = transformers_incompatibility(checkpoint.description.config)
    if why is not None:
        raise SettingsError(
            f"{model} cannot be written for transformers: {why}; unimask loads it as it is, and "
            "Predictor.save writes a folder for unimask"
        )
    write_huggingface(out, checkpoint)
    millions = sum(tensor.numel() for tensor in checkpoint.state.values()) / 1e6
    counts = f"{len(checkpoint.description.labels)} classes, {millions:.1f} million parameters"
    Terminal().print(f"{out}: {counts}", soft_wrap=True)


def export_graph(
    format: str,
    model: str,
    out: Path,
    settings: dict[str, Any],
    images: Path | None,
    overwrite: bool,
) -> None:
    """Write a graph and print how well it agrees with the model."""
    from unimask.export import GRAPH_FORMATS, ExportSettings, export_onnx, export_openvino

    precision = settings.get("precision", "float32")
    GRAPH_FORMATS[format].check_output(out, precision, overwrite=overwrite)
    if precision == "int8" and images is None:
        raise SettingsError("--precision int8 is calibrated on images: add --images FOLDER")
    from unimask.inference import load
    from unimask.inference.sources import open_sources
    from unimask.processing.images import read_image

    predictor = load(model, device="cpu")
    sources = [] if images is None else list(open_sources(str(images)))
    arrays = [read_image(source, channels=predictor.channels) for source in sources]
    console = Terminal()
    with console.status("exporting") as status:
        write = export_onnx if format == "onnx" else export_openvino
        report = write(
            predictor,
            out,
            ExportSettings(**settings),
            images=arrays,
            overwrite=overwrite,
            progress=status.update,
        )
    spec = report.description.input
    count = "any number of images" if spec.batch is None else f"{spec.batch} images"
    console.print(
        f"{out}: {count} of {spec.size[0]}x{spec.size[1]} ({spec.dtype}), "
        f"{', '.join(report.description.tasks)}, {report.megabytes:.0f} MB",
        soft_wrap=True,
    )
    console.print(report.agreement.describe(), soft_wrap=True)
