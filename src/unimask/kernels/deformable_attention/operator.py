"""Deformable attention as one operator, for those who capture graphs and cannot look inside."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unimask.kernels.deformable_attention.paths import find


@torch.library.custom_op("unimask::deformable_attention", mutates_args=())
def operator(
    value: Tensor, sizes: Sequence[int], centres: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """Give what `deformable_attention_reference` defines; `sizes` are its `shapes` in a row."""
    return find(value).values(value, pairs(sizes), centres, offsets, logits).contiguous()


@torch.library.custom_op("unimask::deformable_attention_backward", mutates_args=())
def backward(
    to_out: Tensor,
    value: Tensor,
    sizes: Sequence[int],
    centres: Tensor,
    offsets: Tensor,
    logits: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the gradients of `value`, of x and y (b q 2 m l p), and of `logits`."""
    found = find(value).gradients(to_out, value, pairs(sizes), centres, offsets, logits)
    to_value, to_offsets, to_logits = found[0], found[1].movedim(-1, 2), found[2]
    return to_value.contiguous(), to_offsets.contiguous(), to_logits.contiguous()


@operator.register_fake
def _(
    value: Tensor, sizes: Sequence[int], centres: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    return value.new_empty(len(logits), logits.shape[1], value.shape[2] * value.shape[3])


@backward.register_fake
def _(
    to_out: Tensor,
    value: Tensor,
    sizes: Sequence[int],
    centres: Tensor,
    offsets: Tensor,
    logits: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    to_value, to_offsets, to_logits = (
        part.new_empty(part.shape) for part in (value, offsets.movedim(-1, 2), logits)
    )
    return to_value, to_offsets, to_logits


def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep the arguments for `learn`."""
    value, ctx.sizes, *others = inputs
    ctx.save_for_backward(value, *others)


def learn(ctx: Any, to_out: Tensor) -> tuple[Tensor | None, ...]:
    """Give the gradients of all arguments."""
    value, *others = ctx.saved_tensors
    to_value, to_offsets, to_logits = backward(to_out, value, ctx.sizes, *others)
    return to_value, None, None, to_offsets.movedim(2, -1), to_logits


operator.register_autograd(learn, setup_context=keep)


def pairs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Give heights and widths."""
    return list(zip(sizes[::2], sizes[1::2], strict=True))
