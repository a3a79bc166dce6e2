"""Conversion of captured networks to ONNX, and clean-up of the result."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx  # pyright: ignore[reportMissingImports]
import onnx_ir  # pyright: ignore[reportMissingImports]
import torch
from onnx_ir.passes import common  # pyright: ignore[reportMissingImports]
from onnxscript import optimizer  # pyright: ignore[reportMissingImports]
from torch.export import ExportedProgram

from unimask.errors import SettingsError, one_line
from unimask.export.opset17 import to_opset17
from unimask.runtimes.metadata import EXTERNAL_SUFFIX, ExportedDescription, to_metadata
from unimask.runtimes.signature import OUTPUTS

EXPORTER_OPSET = 18
"""Opset that PyTorch writes; its converters to lower ones fail."""

MAX_BYTES = 2**31 - 2**24
"""Largest size of a file with weights inside; a protocol buffer has less than 2 GiB."""


def to_onnx(
    program: ExportedProgram, description: ExportedDescription, opset: int
) -> onnx.ModelProto:
    """Convert a captured network to ONNX.

    Raises:
        SettingsError: An operator has no translation; the message names it.
    """
    names = ["pixel_values", "task"] if description.takes_task else ["pixel_values"]
    with quiet_exporter():
        try:
            converted = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=EXPORTER_OPSET,
                input_names=names,
                output_names=list(OUTPUTS),
                optimize=False,  # takes as long as all the rest
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise SettingsError(
                f"the network has an operator that ONNX lacks: {last_line(error)}"
            ) from None
        assert converted is not None
        simplify(converted.model)
    return finish(converted.model_proto, description, opset)


def simplify(model: onnx_ir.Model) -> None:
    """Inline functions, compute constants, and merge equal nodes and weights."""
    optimizer.inline(model)
    for node in model.graph:
        if node.op_type == "CastLike":  # which some runtimes lack
            dtype = node.inputs[1].dtype if node.inputs[1] is not None else None
            node.op_type = "Cast"
            node.resize_inputs(1)
            node.attributes.add(onnx_ir.AttrInt64("to", int(dtype or onnx_ir.DataType.FLOAT)))
    optimizer.fold_constants(model)
    reorder_gelu(model)
    for clean_up in (
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    ):
        clean_up(model)


def reorder_gelu(model: onnx_ir.Model) -> None:
    """Multiply GELU's argument by 1 + erf before 0.5: runtimes fuse only that order.

    PyTorch's converter writes x * (0.5 * (1 + erf(x / sqrt(2)))).
    """
    for erf in [node for node in model.graph if node.op_type == "Erf"]:
        plus_one = only_consumer(erf, "Add")
        half = plus_one and only_consumer(plus_one, "Mul")
        product = half and only_consumer(half, "Mul")
        if plus_one is None or half is None or product is None:
            continue
        argument = next(x for x in product.inputs if x is not half.outputs[0])
        constant = next(x for x in half.inputs if x is not plus_one.outputs[0])
        replace_inputs(half, argument, plus_one.outputs[0])
        replace_inputs(product, half.outputs[0], constant)


def only_consumer(node: onnx_ir.Node, op_type: str) -> onnx_ir.Node | None:
    """Return the single node that uses a node's result, if it is of that type."""
    users = {user for user, _ in node.outputs[0].uses()}
    user = users.pop() if len(users) == 1 else None
    return user if user is not None and user.op_type == op_type else None


def replace_inputs(node: onnx_ir.Node, *values: onnx_ir.Value | None) -> None:
    """Replace all inputs of a node."""
    for index, value in enumerate(values):
        node.replace_input_with(index, value)


def finish(model: onnx.ModelProto, description: ExportedDescription, opset: int) -> onnx.ModelProto:
    """Remove traces of this machine, add the metadata, and convert to the opset."""
    # PyTorch annotates some products with a wrong rank, which other tools trust.
    del model.graph.value_info[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces with the paths of this machine
    for key, value in to_metadata(description).items():
        model.metadata_props.add(key=key, value=value)
    model.producer_name = "unimask"
    model.doc_string = f"{description.source}, exported by unimask"
    if opset == 17:
        to_opset17(model)
    return model


def write_onnx(model: onnx.ModelProto, folder: Path, name: str) -> list[Path]:
    """Write, infer shapes and check a model; return its files, the last one the graph.

    Args:
        model: Model to write.
        folder: Folder to write to.
        name: Name of the file.
    """
    path = folder / name
    is_large = model.ByteSize() > MAX_BYTES
    if not is_large:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
        return [path]
    external = name + EXTERNAL_SUFFIX
    onnx.save(model, path, save_as_external_data=True, location=external, size_threshold=1024)
    onnx.checker.check_model(str(path), full_check=True)
    return [folder / external, path]


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silence the exporter's progress and warnings, which users cannot act on."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def last_line(error: BaseException) -> str:
    """Return the cause of an exporter's error, which stands in front of its stack trace."""
    cause = error.__cause__ or error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return one_line(cause, 200)
