"""Conversion of ONNX graphs to OpenVINO files, with weights in float32, float16 or int8."""

from collections.abc import Sequence
from pathlib import Path

import onnx  # pyright: ignore[reportMissingImports]
import openvino  # pyright: ignore[reportMissingImports]
from openvino.passes import ConstantFolding, Manager  # pyright: ignore[reportMissingImports]

from unimask.errors import OutputError, SettingsError, one_line
from unimask.export.formats import Precision
from unimask.export.onnx_graph import write_onnx
from unimask.formats.output_file import GENERATOR
from unimask.processing.images import ImageArray
from unimask.runtimes.metadata import ExportedDescription, to_metadata, weights_path
from unimask.runtimes.openvino_runtime import METADATA_SECTION

INTERMEDIATE_NAME = "intermediate.onnx"


def write_openvino(
    graph: onnx.ModelProto,
    description: ExportedDescription,
    path: Path,
    precision: Precision,
    images: Sequence[ImageArray],
) -> list[Path]:
    """Write a graph as an OpenVINO file; return its files, the last one the graph.

    Args:
        graph: Graph in ONNX, with named inputs and outputs.
        description: Description of the graph, which is written as metadata.
        path: The .xml file to write.
        precision: Precision of the weights; with int8 also of activations.
        images: Images with which int8 is calibrated.

    Raises:
        OutputError: The file cannot be written, for example for lack of space.
        SettingsError: OpenVINO cannot read the graph.
    """
    *external, intermediate = write_onnx(graph, path.parent, INTERMEDIATE_NAME)
    try:
        converted = openvino.Core().read_model(str(intermediate))
    except Exception as error:  # OpenVINO's errors have no common type
        raise SettingsError(f"OpenVINO cannot read the graph: {one_line(error, 300)}") from None
    manager = Manager()
    manager.register_pass(ConstantFolding())  # reshaped weights: NNCF quantises only constants
    manager.run_passes(converted)
    if precision == "int8":
        from unimask.export.quantisation import quantise

        converted = quantise(converted, description, images)
    parts = converted.get_results(), converted.get_parameters()
    model = openvino.Model(*parts, GENERATOR)  # pyright: ignore[reportGeneralTypeIssues]
    for key, value in to_metadata(description).items():
        model.set_rt_info(value, [METADATA_SECTION, key])
    try:
        openvino.save_model(model, str(path), compress_to_fp16=precision == "float16")
    except RuntimeError as error:
        raise OutputError(
            f"cannot write {path.name} ({one_line(error)}): free some space, or choose another "
            "place"
        ) from None
    del model, converted  # which map the weights of the intermediate file
    for file in (intermediate, *external):
        file.unlink()
    return [weights_path(path), path]
