"""Graphs that other programs exported: labels and rules are given, inputs and outputs are found."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from unimask.config import PostprocessingConfig, PreprocessingConfig
from unimask.errors import CheckpointError
from unimask.labels import LabelSet, Task
from unimask.processing.preprocess import USUAL_IMAGE, input_size, padded_size
from unimask.runtimes.metadata import ExportedDescription, GraphInput, has_metadata
from unimask.runtimes.signature import (
    OWN_NAMES,
    GraphNames,
    Signature,
    TensorSpec,
    read_description,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphRules:
    """Everything that predictions with a graph of another program depend on, except the graph.

    Attributes:
        labels: Classes in the order of the network's outputs.
        tasks: Tasks that the network was trained for, most demanding first.
        preprocessing: Settings of pre-processing; the input of the graph is normalised.
        postprocessing: Settings of post-processing.
    """

    labels: LabelSet
    tasks: tuple[Task, ...]
    preprocessing: PreprocessingConfig
    postprocessing: PostprocessingConfig


class DescribedGraph(NamedTuple):
    """Description of a graph, and the names of its inputs and outputs."""

    description: ExportedDescription
    names: GraphNames


def describe_graph(
    metadata: Mapping[str, str], signature: Signature, rules: GraphRules | None, name: str
) -> DescribedGraph:
    """Describe a graph by its metadata, or by the rules for files of other programs.

    Args:
        metadata: Entries of the file.
        signature: Inputs and outputs of the graph.
        rules: Labels and rules; None for files of unimask.
        name: Path of the file, for messages.

    Raises:
        CheckpointError: The file has no metadata and there are no rules, it has metadata and there
            are rules, or the graph contradicts them.
    """
    if rules is None:
        return DescribedGraph(read_description(metadata, signature, name), OWN_NAMES)
    if has_metadata(metadata):
        raise CheckpointError(
            f"{name} was exported by unimask and has its own labels and rules: pass no others"
        )
    return describe_foreign(signature, rules, name)


def describe_foreign(signature: Signature, rules: GraphRules, name: str) -> DescribedGraph:
    """Find the inputs and outputs of a graph and complete its description by the rules.

    Args:
        signature: Inputs and outputs of the graph.
        rules: Labels and rules.
        name: Path of the file, for messages.

    Raises:
        CheckpointError: The graph has other inputs or outputs than an image, class logits and mask
            logits, or another number of classes.
    """
    pixel_values = find_images(signature, len(rules.preprocessing.mean), name)
    classes, masks = (
        find_output(signature, rank, what, name)
        for rank, what in ((3, "class logits"), (4, "mask logits"))
    )
    num_classes = signature.outputs[classes].shape[2]
    if num_classes is not None and num_classes != len(rules.labels) + 1:
        raise CheckpointError(
            f"{name} predicts {num_classes - 1} classes and no object, but there are "
            f"{len(rules.labels)} labels: pass those that it was trained with"
        )
    batch, channels, height, width = signature.inputs[pixel_values].shape
    if height is None or width is None:
        wanted = input_size(USUAL_IMAGE, rules.preprocessing)
        height, width = padded_size(wanted, rules.preprocessing.size_divisor)
    description = ExportedDescription(
        labels=rules.labels,
        tasks=rules.tasks,
        takes_task=False,
        input=GraphInput(
            dtype="float32",
            batch=batch,
            channels=channels or len(rules.preprocessing.mean),
            size=(height, width),
        ),
        preprocessing=replace(rules.preprocessing, fixed_size=(height, width)),
        postprocessing=rules.postprocessing,
        source=name,
    )
    return DescribedGraph(description, GraphNames(pixel_values, classes, masks))


def find_images(signature: Signature, num_channels: int, name: str) -> str:
    """Return the name of the only input, which holds normalised images.

    Raises:
        CheckpointError: There are other inputs, or the input does not hold such images.
    """
    if len(signature.inputs) != 1:
        raise CheckpointError(
            f"{name} has the inputs {', '.join(signature.inputs)}: only graphs with one input, the "
            "images, can be run (for OneFormer, export with the task's tokens inside)"
        )
    ((found, spec),) = signature.inputs.items()
    if len(spec.shape) != 4 or spec.dtype != "float32" or spec.shape[1] not in (None, num_channels):
        raise CheckpointError(
            f"{name} has the input {found} of {describe(spec)}: expected float32 images (batch, "
            f"{num_channels} channels, height, width)"
        )
    return found


def find_output(signature: Signature, rank: int, what: str, name: str) -> str:
    """Return the name of the only output of a rank.

    Raises:
        CheckpointError: There are several, or none.
    """
    found = [output for output, spec in signature.outputs.items() if len(spec.shape) == rank]
    if len(found) != 1:
        listed = ", ".join(f"{out} of {describe(s)}" for out, s in signature.outputs.items())
        raise CheckpointError(
            f"{name} has {len(found)} outputs of {rank} dimensions ({what}), expected one: export "
            f"it with class and mask logits as its only outputs; it has {listed}"
        )
    return found[0]


def describe(spec: TensorSpec) -> str:
    """Format dtype and shape for messages."""
    return f"{spec.dtype} ({', '.join('any' if n is None else str(n) for n in spec.shape)})"
