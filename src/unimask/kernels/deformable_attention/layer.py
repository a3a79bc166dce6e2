"""Deformable attention of a layer: projected values, sampled around each query."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.deformable_attention.custom_operator import operator
from unimask.kernels.deformable_attention.dispatch import (
    implementation,
    implementation_name,
    needs_plain_operators,
)
from unimask.kernels.deformable_attention.gather import sample
from unimask.kernels.deformable_attention.reference import deformable_attention_reference
from unimask.kernels.deformable_attention.sampling_points import bordered_projection
from unimask.kernels.int8 import computes_in_int8
from unimask.kernels.linear import cached_for_weights, linear_function, product_of_sum
from unimask.kernels.rows import rowwise

Sampler = Callable[[Tensor, Tensor, Tensor], Float[Tensor, "b q d"]]
"""Function of centres, offsets and logits, as `deformable_attention` takes them."""


def deformable_attention(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Attend to a few points per query, head and level, by the fastest path for the device.

    `deformable_attention_reference` defines the result and describes the arguments. Compilers and
    `torch.export` see one custom operator, ONNX exporters PyTorch's own operators.
    `force_implementation` selects another path.
    """
    if needs_plain_operators() or implementation_name(value) == "reference":
        return deformable_attention_reference(value, shapes, centres, offsets, logits)
    requires_grad = any(part.requires_grad for part in (value, offsets, logits))
    if not torch.compiler.is_compiling() and not (requires_grad and torch.is_grad_enabled()):
        # A custom operator called eagerly would import the compiler, which takes a second.
        return implementation(value).forward(value, shapes, centres, offsets, logits)
    sizes = [side for shape in shapes for side in shape]
    return operator(value, sizes, centres, offsets, logits)


def value_sampler(
    project: nn.Linear, memory: Float[Tensor, "b n d"], heads: int, shapes: list[tuple[int, int]]
) -> Sampler:
    """Return `deformable_attention` over projected values as a function of the sampling points.

    On a CPU without gradients, the values are written once into the layout that sampling reads,
    however many blocks of queries are sampled afterwards.

    Args:
        project: Projection of the memory to the values of all heads side by side.
        memory: Features of all positions of all levels.
        heads: Number of heads.
        shapes: Height and width of each level.
    """
    multiply = linear_function(project)
    traced = needs_plain_operators() or torch.compiler.is_compiling()
    if traced or torch.is_grad_enabled() or implementation_name(memory) != "gather":
        value = rowwise(multiply)(memory).unflatten(-1, (heads, -1))
        return partial(deformable_attention, value, shapes)
    tables = bordered_projection(multiply, memory, heads, shapes)
    return lambda *points: sample(tables, shapes, *points).to(memory.dtype)


def project_points(
    owner: nn.Module,
    queries: Float[Tensor, "b q c"],
    positions: Float[Tensor, "q c"],
    offsets: nn.Linear,
    weights: nn.Linear,
    shape: tuple[int, int, int],
) -> tuple[Float[Tensor, "b q m l p 2"], Float[Tensor, "b q m l p"]]:
    """Predict the sampling offsets and attention logits of queries by one matrix product.

    Args:
        owner: Module that holds both layers; their joint, prepacked weight is cached for it.
        queries: Features of the queries.
        positions: Position encodings, added to the queries.
        offsets: Layer whose outputs are (x, y) of each head, level and point.
        weights: Layer whose outputs are the logits of each head, level and point.
        shape: Number of heads, levels and points.
    """
    int8 = computes_in_int8(offsets) and computes_in_int8(weights)
    multiply = cached_for_weights(
        owner, lambda: product_of_sum(*joint_weight(offsets, weights), int8=int8)
    )
    planes = multiply(queries, positions).unflatten(-1, (3, *shape))
    # Coordinates stay two planes behind a view: arithmetic on them then runs over whole rows.
    return planes[:, :, :2].movedim(2, -1), planes[:, :, 2]


def joint_weight(
    offsets: nn.Linear, weights: nn.Linear
) -> tuple[Float[Tensor, "k c"], Float[Tensor, " k"]]:
    """Concatenate two layers' weights, and their biases: all x, all y, all attention logits."""
    joint = []
    for kind in ("weight", "bias"):
        steps: Tensor = getattr(offsets, kind)
        planes = steps.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1)
        joint.append(torch.cat([planes, getattr(weights, kind)]))
    return joint[0], joint[1]
