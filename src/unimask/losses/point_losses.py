"""Mask and dice losses at points, with only the gradient saved for the backward pass."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.losses.mask_losses import binary_loss, dice_loss


class MaskTerms(NamedTuple):
    """Losses of masks.

    Attributes:
        weighted: Weighted sum of both losses, with gradients.
        mask: Mask loss, without gradients.
        dice: Dice loss, without gradients.
    """

    weighted: Float[Tensor, ""]
    mask: Float[Tensor, ""]
    dice: Float[Tensor, ""]


def point_losses(
    sampled: Float[Tensor, "n p"],
    ground_truth: Float[Tensor, "n p"],
    known: Float[Tensor, "n p"],
    weights: tuple[float, float],
    smoothing: float = 1.0,
) -> MaskTerms:
    """Compute `binary_loss` and `dice_loss` of masks at points.

    The losses of all layers are computed before the backward pass, so what each saves adds up.
    The gradient of the weighted sum is computed in the forward pass and nothing else is saved.

    Args:
        sampled: Mask logits at the points.
        ground_truth: Ground truth at the points; 0 where it is not known.
        known: 1 where the ground truth is known, 0 elsewhere.
        weights: Weights of the two losses.
        smoothing: Smoothing of the dice loss.
    """
    return MaskTerms(*_PointLosses.apply(sampled, ground_truth, known, weights, smoothing))  # type: ignore[misc]


class _PointLosses(torch.autograd.Function):
    """Autograd function of `point_losses`."""

    @staticmethod
    def forward(
        ctx: Any,
        sampled: Tensor,
        ground_truth: Tensor,
        known: Tensor,
        weights: tuple[float, float],
        smoothing: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        needs_grad = ctx.needs_input_grad[0]
        with torch.set_grad_enabled(needs_grad):
            logits = sampled.detach().requires_grad_(needs_grad)
            mask, dice = (
                binary_loss(logits, ground_truth, known),
                dice_loss(logits, ground_truth, known, smoothing),
            )
            weighted = weights[0] * mask + weights[1] * dice
        if needs_grad:
            ctx.save_for_backward(*torch.autograd.grad(weighted, logits))
        parts = weighted.detach(), mask.detach(), dice.detach()
        ctx.mark_non_differentiable(*parts[1:])
        return parts

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[override]
        ctx: Any, grad_weighted: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, ...]:
        (grad_sampled,) = ctx.saved_tensors
        return grad_weighted * grad_sampled, None, None, None, None
