"""Inputs and outputs of a graph as its runtime reports them, compared with the file's metadata."""

from collections.abc import Mapping
from dataclasses import dataclass

from unimask.errors import CheckpointError
from unimask.runtimes.metadata import ExportedDescription, from_metadata, has_metadata

OUTPUTS = ("class_logits", "mask_logits")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Format of an input or output.

    Attributes:
        dtype: Dtype by NumPy's name, or the runtime's name if there is none.
        shape: Length of each dimension; None for any.
    """

    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs of a graph by name, in order."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


@dataclass(frozen=True, slots=True)
class GraphNames:
    """Names of the inputs and outputs of a graph."""

    pixel_values: str
    class_logits: str
    mask_logits: str


OWN_NAMES = GraphNames("pixel_values", *OUTPUTS)
"""Names in files of unimask."""


def read_description(
    metadata: Mapping[str, str], signature: Signature, name: str
) -> ExportedDescription:
    """Read the metadata of a file and check that they fit the graph.

    Args:
        metadata: Entries of the file.
        signature: Inputs and outputs of the graph.
        name: Path of the file, for messages.

    Raises:
        CheckpointError: The file is not an export of unimask, or its metadata contradict the graph.
    """
    if not has_metadata(metadata):
        raise CheckpointError(
            f"{name} was not exported by unimask: it has no metadata about classes and image "
            "sizes; pass the folder of its model (rules=, --rules) or its labels (labels=, "
            "--labels), or export it with unimask"
        )
    description = from_metadata(metadata, name)
    expected = {"pixel_values", "task"} if description.takes_task else {"pixel_values"}
    if signature.inputs.keys() != expected or not signature.outputs.keys() >= set(OUTPUTS):
        raise CheckpointError(f"{name} has other inputs or outputs than its metadata say")
    images = signature.inputs["pixel_values"]
    shape = (description.input.channels, *description.input.size)
    if images.shape[1:] != shape or images.dtype != description.input.dtype:
        raise CheckpointError(f"{name} takes other images than its metadata say: export it again")
    return description
