"""Deformable attention as one custom operator, for compilers and exporters that capture graphs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unimask.kernels.deformable_attention.dispatch import implementation


@torch.library.custom_op("unimask::deformable_attention", mutates_args=())
def operator(
    value: Tensor, sizes: Sequence[int], centres: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """Compute `deformable_attention_reference`; `sizes` are its `shapes`, flattened."""
    forward = implementation(value).forward
    return forward(value, unflatten_sizes(sizes), centres, offsets, logits).contiguous()


@torch.library.custom_op("unimask::deformable_attention_backward", mutates_args=())
def operator_backward(
    grad_out: Tensor,
    value: Tensor,
    sizes: Sequence[int],
    centres: Tensor,
    offsets: Tensor,
    logits: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of `value`, of the offsets as (b q 2 m l p), and of `logits`."""
    backward = implementation(value).backward
    grad_value, grad_offsets, grad_logits = backward(
        grad_out, value, unflatten_sizes(sizes), centres, offsets, logits
    )
    grad_offsets = grad_offsets.movedim(-1, 2)
    return grad_value.contiguous(), grad_offsets.contiguous(), grad_logits.contiguous()


@operator.register_fake
def _(
    value: Tensor, sizes: Sequence[int], centres: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    return value.new_empty(len(logits), logits.shape[1], value.shape[2] * value.shape[3])


@operator_backward.register_fake
def _(
    grad_out: Tensor,
    value: Tensor,
    sizes: Sequence[int],
    centres: Tensor,
    offsets: Tensor,
    logits: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    grad_value, grad_offsets, grad_logits = (
        part.new_empty(part.shape) for part in (value, offsets.movedim(-1, 2), logits)
    )
    return grad_value, grad_offsets, grad_logits


def save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Save the arguments for the backward pass."""
    value, ctx.sizes, *others = inputs
    ctx.save_for_backward(value, *others)


def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    """Compute the gradients of all arguments of the operator."""
    value, *others = ctx.saved_tensors
    grad_value, grad_offsets, grad_logits = operator_backward(grad_out, value, ctx.sizes, *others)
    return grad_value, None, None, grad_offsets.movedim(2, -1), grad_logits


operator.register_autograd(backward, setup_context=save_inputs)


def unflatten_sizes(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return (height, width) pairs from alternating heights and widths."""
    return list(zip(sizes[::2], sizes[1::2], strict=True))
