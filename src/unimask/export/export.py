"""Export of a trained model to a verified file."""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import nn

from unimask.errors import SettingsError
from unimask.export.formats import ONNX, OPENVINO, GraphFormat, Precision
from unimask.export.images import rendered_image, spread
from unimask.export.verification import (
    TOLERANCES,
    Agreement,
    check_agreement,
    compare_predictors,
)
from unimask.formats.atomic import partial_path
from unimask.inference.exported import ExportedPredictor, open_network
from unimask.inference.precision import precision_name
from unimask.inference.predictor import Predictor
from unimask.labels import Task
from unimask.modeling.segmenter import Segmenter
from unimask.processing.images import ImageArray
from unimask.processing.preprocess import USUAL_IMAGE, input_size, padded_size
from unimask.published.zoo import published_models
from unimask.runtimes.metadata import ExportedDescription, GraphInput

if TYPE_CHECKING:
    from onnx import ModelProto  # pyright: ignore[reportMissingImports]
    from torch.export import ExportedProgram

MAX_SIDE = 8192
"""Largest height or width of a graph."""

MAX_INT8_IMAGES = 16
"""Largest number of images on which int8 is compared with the network."""

OPSETS = (18, 17)
"""Opsets that can be written: from 20 on TensorRT reads GridSample wrongly."""

Progress = Callable[[str], None]
"""Function that is called with the name of each step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSettings:
    """Settings of an export.

    Attributes:
        size: Height and width of the network's input; None for the size to which the model's own
            rule resizes an image of 480x640.
        batch: Number of images per call; None for any.
        task: Task of OneFormer's graph; None for an input that selects it.
        input_dtype: Dtype of the images.
        opset: Opset of the ONNX file: 18 or 17.
        precision: Precision of the weights in OpenVINO files: float32; float16, which halves the
            file and is computed in float32; or int8, in which also activations are computed.
    """

    size: tuple[int, int] | None = None
    batch: int | None = None
    task: str | None = None
    input_dtype: Literal["float32", "uint8"] = "float32"
    opset: int = 18
    precision: Precision = "float32"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Result of an export.

    Attributes:
        path: The file.
        description: Inputs of the graph, classes and rules.
        agreement: Agreement with the network.
        megabytes: Size of the file with its external data.
    """

    path: Path
    description: ExportedDescription
    agreement: Agreement
    megabytes: float


def export_onnx(
    model: Predictor,
    path: str | Path,
    settings: ExportSettings = ExportSettings(),
    *,
    images: Sequence[ImageArray] = (),
    overwrite: bool = False,
    progress: Progress = lambda step: None,
) -> ExportReport:
    """Export a model to an ONNX file, run it, and compare it with the model.

    Args:
        model: Model on the CPU in float32.
        path: File to write, with the suffix .onnx. No file is left if anything fails.
        settings: Size, batch, task, dtype and opset of the graph.
        images: Images on which the file is compared with the model, in addition to rendered and
            random ones.
        overwrite: Whether a file that unimask did not write may be replaced.
        progress: Function that is called with the name of each step.

    Raises:
        MissingExtraError: A package of the extra `export` is not installed.
        OutputError: The file cannot be written, or would replace one that unimask did not write.
        SettingsError: The model or a setting cannot be exported, or the file gives other answers.
    """
    return export_graph(ONNX, model, Path(path), settings, images, overwrite, progress)


def export_openvino(
    model: Predictor,
    path: str | Path,
    settings: ExportSettings = ExportSettings(),
    *,
    images: Sequence[ImageArray] = (),
    overwrite: bool = False,
    progress: Progress = lambda step: None,
) -> ExportReport:
    """Export a model to an OpenVINO file, run it, and compare it with the model.

    Args:
        model: Model on the CPU in float32.
        path: File to write, with the suffix .xml; weights are written to a .bin file beside it. No
            file is left if anything fails.
        settings: Size, batch, task, dtype and precision of the graph.
        images: Images on which the file is compared with the model, in addition to rendered and
            random ones. int8 is calibrated on them, and compared on them alone.
        overwrite: Whether files that unimask did not write may be replaced.
        progress: Function that is called with the name of each step.

    Raises:
        MissingExtraError: A package of the extra `openvino` is not installed.
        OutputError: The file cannot be written, or would replace one that unimask did not write.
        SettingsError: The model or a setting cannot be exported, or the file gives other answers.
    """
    return export_graph(OPENVINO, model, Path(path), settings, images, overwrite, progress)


def export_graph(
    format: GraphFormat,
    model: Predictor,
    path: Path,
    settings: ExportSettings,
    images: Sequence[ImageArray],
    overwrite: bool,
    progress: Progress,
) -> ExportReport:
    """Write, run and compare a file of any format; see `export_onnx`."""
    format.check_output(path, settings.precision, overwrite=overwrite)
    check_settings(model, settings, len(images))
    from unimask.export.onnx_graph import to_onnx

    description = describe_graph(model, settings)
    program = capture_network(model, description, progress)
    progress("converting to ONNX")
    graph = to_onnx(program, description, settings.opset)
    del program
    with partial_path(path) as folder:
        folder.mkdir()
        progress("calibrating int8" if settings.precision == "int8" else "writing the file")
        files = write_graph(format, graph, description, folder / path.name, settings, images)
        del graph
        progress("comparing with the network")
        exported = ExportedPredictor(open_network(files[-1], "cpu"), str(path))
        original = with_rules(model, description)
        agreement = compare(original, exported, settings.precision, images)
        check_agreement(agreement)
        megabytes = exported.network.weight_bytes / 1e6
        del exported  # which may hold the files open
        move_files(files, path.parent)
    return ExportReport(path, description, agreement, megabytes)


def capture_network(
    model: Predictor, description: ExportedDescription, progress: Progress
) -> "ExportedProgram":
    """Capture a network with its normalisation."""
    from unimask.export.graph import ExportedSegmenter, capture

    progress("capturing the network")
    rules = description.preprocessing
    module = ExportedSegmenter(model.network, rules.mean, rules.std, description.tasks)
    with paused_garbage_collection(), frozen(module):
        return capture(module.eval(), description)


def write_graph(
    format: GraphFormat,
    graph: "ModelProto",
    description: ExportedDescription,
    path: Path,
    settings: ExportSettings,
    images: Sequence[ImageArray],
) -> list[Path]:
    """Write a graph; return its files, the last one the graph."""
    if format is ONNX:
        from unimask.export.onnx_graph import write_onnx

        return write_onnx(graph, path.parent, path.name)
    from unimask.export.openvino_graph import write_openvino

    return write_openvino(graph, description, path, settings.precision, images)


def compare(
    original: Predictor,
    exported: ExportedPredictor,
    precision: Precision,
    images: Sequence[ImageArray],
) -> Agreement:
    """Compare a file with its network; int8 only on images of the kind it is calibrated for."""
    if precision == "int8":
        shown, num_random = spread(images, MAX_INT8_IMAGES), 0
    else:
        shown, num_random = [rendered_image(exported.network.description), *images], 1
    return compare_predictors(
        original, exported, shown, num_random=num_random, tolerance=TOLERANCES[precision]
    )


def move_files(files: Sequence[Path], folder: Path) -> None:
    """Move complete files into place; an interruption leaves none that did not exist before."""
    new = [folder / file.name for file in files if not (folder / file.name).exists()]
    try:
        for file in files:
            os.replace(file, folder / file.name)
    except BaseException:
        for file in new:
            file.unlink(missing_ok=True)
        raise


def check_settings(model: Predictor, settings: ExportSettings, num_images: int) -> None:
    """Refuse before any work what cannot be exported.

    Args:
        model: Model to export.
        settings: Settings of the export.
        num_images: Number of images for comparison and calibration.

    Raises:
        SettingsError: The model or a setting cannot be exported.
        TaskError: The model was not trained for the task.
    """
    if not isinstance(model.network, Segmenter):
        raise SettingsError(f"{model.name} is an exported file already: pass the original model")
    if model.description.config.clips:
        raise SettingsError(
            f"{model.name} segments clips of any number of frames: only networks for images are "
            "exported"
        )
    precision = precision_name(model.network, model.dtype)
    if model.device.type != "cpu" or precision != "float32":
        raise SettingsError("export needs the model on the CPU in float32: load it so")
    if settings.opset not in OPSETS:
        raise SettingsError(f"opset {settings.opset}: choose 18 or 17; TensorRT misreads 20")
    if settings.input_dtype not in ("float32", "uint8"):
        raise SettingsError(f"input dtype {settings.input_dtype!r}: choose float32 or uint8")
    if settings.batch is not None and settings.batch < 1:
        raise SettingsError(f"batch {settings.batch}: pass a positive number, or dynamic")
    if settings.precision == "int8" and num_images == 0:
        raise SettingsError(
            "int8 is calibrated on images of the kind that the model will see: pass some (--images "
            "FOLDER)"
        )
    size = settings.size or (1, 1)
    if min(size) < 1 or max(size) > MAX_SIDE:
        raise SettingsError(f"size {size[0]}x{size[1]}: height and width go from 1 to {MAX_SIDE}")
    if settings.task is not None:
        model.resolve_task(settings.task)


def describe_graph(model: Predictor, settings: ExportSettings) -> ExportedDescription:
    """Return the description of the graph to write."""
    description = model.description
    rules = description.preprocessing
    if settings.size is not None:
        edges = min(settings.size), max(settings.size)
        squash = None if rules.squash is None else settings.size
        rules = replace(rules, shortest_edge=edges[0], longest_edge=edges[1], squash=squash)
    size = settings.size or rules.fixed_size or input_size(USUAL_IMAGE, rules)
    if rules.square is not None and size[0] != size[1]:
        raise SettingsError(f"size is {size[0]}x{size[1]}: {model.name} takes squares")
    size = padded_size(size, rules.size_divisor)
    tasks: tuple[Task, ...] = model.tasks
    if settings.task is not None:
        tasks = (model.resolve_task(settings.task),)
    takes_task = model.network.task_encoder is not None and len(tasks) > 1
    return ExportedDescription(
        labels=description.labels,
        tasks=tasks,
        takes_task=takes_task,
        input=GraphInput(
            dtype=settings.input_dtype,
            batch=settings.batch,
            channels=model.channels,
            size=size,
        ),
        preprocessing=replace(rules, fixed_size=size),
        postprocessing=description.postprocessing,
        source=model.name,
        licence=find_licence(model.name),
    )


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Do not search for cyclic garbage: a graph has so many objects that this takes long."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Disable gradients of parameters: attention with gradients has a layout that ONNX lacks."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def find_licence(name: str) -> str | None:
    """Return the licence of a published model, or None."""
    return next((model.licence for model in published_models() if model.hub == name), None)


def with_rules(model: Predictor, description: ExportedDescription) -> Predictor:
    """Return a model with the pre-processing of an exported graph."""
    changed = replace(model.description, preprocessing=description.preprocessing)
    return Predictor(model.network, changed, model.name)
