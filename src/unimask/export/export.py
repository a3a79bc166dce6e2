"""Export of a trained model to a verified file."""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from torch import nn

from unimask.errors import MissingExtraError, SettingsError
from unimask.export.images import rendered_image
from unimask.export.verification import Agreement, check_agreement, compare_predictors
from unimask.formats.atomic import partial_path
from unimask.formats.output_file import check_output_files, is_written_by_unimask
from unimask.inference.exported import ExportedPredictor
from unimask.inference.precision import precision_name
from unimask.inference.predictor import Predictor
from unimask.labels import Task
from unimask.modeling.segmenter import Segmenter
from unimask.processing.images import ImageArray
from unimask.processing.preprocess import input_size, padded_size
from unimask.published.zoo import published_models
from unimask.runtimes.metadata import EXTERNAL_SUFFIX, ExportedDescription, GraphInput

USUAL_IMAGE = (480, 640)
"""Size of the image whose network input is the default size of a graph: 4 to 3, as in COCO."""

MAX_SIDE = 8192
"""Largest height or width of a graph."""

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""Packages of the extra `export`."""

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
    """

    size: tuple[int, int] | None = None
    batch: int | None = None
    task: str | None = None
    input_dtype: Literal["float32", "uint8"] = "float32"
    opset: int = 18


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
    path = Path(path)
    check_output(path, overwrite=overwrite)
    check_settings(model, settings)
    from unimask.export.graph import ExportedSegmenter, capture
    from unimask.export.onnx_graph import to_onnx, write_onnx
    from unimask.runtimes.onnx_runtime import OnnxNetwork

    description = describe_graph(model, settings)
    rules = description.preprocessing
    progress("capturing the network")
    module = ExportedSegmenter(model.network, rules.mean, rules.std, description.tasks)
    with paused_garbage_collection(), frozen(module):
        program = capture(module.eval(), description)
        progress("converting to ONNX")
        graph = to_onnx(program, description, settings.opset)
        del program
    with partial_path(path) as folder:
        folder.mkdir()
        progress("checking the file")
        files = write_onnx(graph, folder, path.name)
        del graph
        progress("comparing with the network")
        exported = ExportedPredictor(OnnxNetwork(files[-1], "cpu"), str(path))
        original = with_rules(model, description)
        shown = [rendered_image(description), *images]
        agreement = compare_predictors(original, exported, shown)
        check_agreement(agreement)
        megabytes = exported.network.weight_bytes / 1e6
        for file in files:
            os.replace(file, path.parent / file.name)
    return ExportReport(path, description, agreement, megabytes)


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a path that cannot be written, before the model is loaded.

    Args:
        path: File to write. Large weights are written to a second file beside it.
        overwrite: Whether files that unimask did not write may be replaced.

    Raises:
        MissingExtraError: A package of the extra `export` is not installed.
        OutputError: The folder is not writable, the path is a folder, or a file is in the way.
        SettingsError: The path has another suffix than .onnx.
    """
    for package in PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError(package, "export")
    if path.suffix.lower() != ".onnx":
        raise SettingsError(f"{path}: name the file with the suffix .onnx")
    weights = path.with_name(path.name + EXTERNAL_SUFFIX)
    has_own_weights = is_written_by_unimask(path)  # those of a graph that unimask wrote
    check_output_files(path, None if has_own_weights else weights, overwrite=overwrite)


def check_settings(model: Predictor, settings: ExportSettings) -> None:
    """Refuse before any work what cannot be exported.

    Raises:
        SettingsError: The model or a setting cannot be exported.
        TaskError: The model was not trained for the task.
    """
    if not isinstance(model.network, Segmenter):
        raise SettingsError(f"{model.name} is an exported file already: pass the original model")
    precision = precision_name(model.network, model.dtype)
    if model.device.type != "cpu" or precision != "float32":
        raise SettingsError("export needs the model on the CPU in float32: load it so")
    if settings.opset not in OPSETS:
        raise SettingsError(f"opset {settings.opset}: choose 18 or 17; TensorRT misreads 20")
    if settings.input_dtype not in ("float32", "uint8"):
        raise SettingsError(f"input dtype {settings.input_dtype!r}: choose float32 or uint8")
    if settings.batch is not None and settings.batch < 1:
        raise SettingsError(f"batch {settings.batch}: pass a positive number, or dynamic")
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
    size = settings.size or input_size(USUAL_IMAGE, rules)
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
