"""Multi-scale deformable attention: one meaning, several implementations."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.deformable_attention.gather import sample
from unimask.kernels.deformable_attention.operator import operator
from unimask.kernels.deformable_attention.paths import chosen, exporting_plainly, find, use
from unimask.kernels.deformable_attention.points import bordered_projection
from unimask.kernels.deformable_attention.reference import deformable_attention_reference
from unimask.kernels.rows import by_rows

__all__ = ["deformable_attention", "deformable_attention_reference", "sampler", "use"]


def deformable_attention(
    value: Float[Tensor, "b n m c"],
    shapes: list[tuple[int, int]],
    centres: Float[Tensor, "q 2"],
    offsets: Float[Tensor, "b q m l p 2"],
    logits: Float[Tensor, "b q m l p"],
) -> Float[Tensor, "b q d"]:
    """Attend to a few points per query, head and level, by the fastest path for the device.

    The meaning and the arguments are those of `deformable_attention_reference`. Compilers and
    `torch.export` see one operator, exporters to ONNX plain ones. `use` takes another path.
    """
    if exporting_plainly() or chosen(value) == "reference":
        return deformable_attention_reference(value, shapes, centres, offsets, logits)
    learned = any(part.requires_grad for part in (value, offsets, logits))
    if not torch.compiler.is_compiling() and not (learned and torch.is_grad_enabled()):
        # Called plainly, an operator of our own would import the compiler, which takes a second.
        return find(value).values(value, shapes, centres, offsets, logits)
    sizes = [side for shape in shapes for side in shape]
    return operator(value, sizes, centres, offsets, logits)


def sampler(
    project: Callable[[Float[Tensor, "b q d"]], Float[Tensor, "b q d"]],
    memory: Float[Tensor, "b n d"],
    heads: int,
    shapes: list[tuple[int, int]],
) -> Callable[[Tensor, Tensor, Tensor], Float[Tensor, "b q d"]]:
    """Give `deformable_attention` of projected memory as a function of centres, offsets, logits.

    On a CPU without gradients, who asks for some queries after the others pays only once for what
    is made of the values, and these go where they are read from straight away.

    Args:
        project: Gives the values of some positions, those of all heads side by side.
        memory: All positions.
        heads: They divide the values.
        shapes: Height and width of each level.
    """
    captured = exporting_plainly() or torch.compiler.is_compiling()
    if captured or torch.is_grad_enabled() or chosen(memory) != "gather":
        value = by_rows(project, memory).unflatten(-1, (heads, -1))
        return partial(deformable_attention, value, shapes)
    tables = bordered_projection(project, memory, heads, shapes)
    return lambda *points: sample(tables, shapes, *points).to(memory.dtype)
