"""Conversion of graphs from opset 18 to 17, for runtimes that read no newer one.

ONNX's own converter does not know these operators in this direction.
"""

import numpy as np
import onnx  # pyright: ignore[reportMissingImports]
from onnx import numpy_helper  # pyright: ignore[reportMissingImports]

from unimask.errors import SettingsError

REDUCTIONS = ("ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2")
"""Reductions whose axes are an input from opset 18 on, and were an attribute before."""

RESIZE_DEFAULTS = {"antialias": 0, "keep_aspect_ratio_policy": b"stretch"}
"""Attributes of Resize that opset 17 lacks, with the values at which they change nothing."""


def to_opset17(model: onnx.ModelProto) -> None:
    """Rewrite a graph in place.

    Raises:
        SettingsError: An operator uses a feature that opset 17 lacks.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    inferred = onnx.shape_inference.infer_shapes(model)
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*inferred.graph.value_info, *inferred.graph.input)
    }
    for node in model.graph.node:
        if node.op_type in REDUCTIONS:
            remove_attribute(node, "noop_with_empty_axes")
        if node.op_type in REDUCTIONS and len(node.input) == 2:
            axes = numpy_helper.to_array(constants[node.input[1]])
            node.input.pop()
            node.attribute.append(onnx.helper.make_attribute("axes", axes.tolist()))
        elif node.op_type == "Split":
            remove_attribute(node, "num_outputs")
        elif node.op_type == "Resize":
            for name, value in RESIZE_DEFAULTS.items():
                if remove_attribute(node, name) not in (None, value):
                    raise SettingsError(f"opset 17 has no Resize with {name}: use --opset 18")
        elif node.op_type == "Pad" and len(node.input) == 4:
            if node.input[3]:
                expand_pads(model, node, constants, ranks)
            node.input.pop()
    (opset,) = (entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    opset.version = 17


def remove_attribute(node: onnx.NodeProto, name: str) -> object:
    """Remove an attribute and return its value, or None if there is none."""
    for index, attribute in enumerate(node.attribute):
        if attribute.name == name:
            value = onnx.helper.get_attribute_value(attribute)
            del node.attribute[index]
            return value
    return None


def expand_pads(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    constants: dict[str, onnx.TensorProto],
    ranks: dict[str, int],
) -> None:
    """Replace the pads of some axes by those of all.

    Raises:
        SettingsError: The rank of the padded tensor is unknown.
    """
    if node.input[0] not in ranks:
        raise SettingsError("a Pad has an unknown rank at opset 17: use --opset 18")
    rank = ranks[node.input[0]]
    axes = numpy_helper.to_array(constants[node.input[3]])
    pads = numpy_helper.to_array(constants[node.input[1]]).reshape(2, -1)
    every = np.zeros((2, rank), np.int64)
    every[:, axes] = pads
    name = f"{node.name}_pads"
    model.graph.initializer.append(numpy_helper.from_array(every.ravel(), name))
    node.input[1] = name
