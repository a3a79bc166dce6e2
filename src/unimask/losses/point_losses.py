"""Mask and dice loss at points, of which only the gradient is kept."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.losses.mask_losses import binary_loss, dice_loss


class MaskTerms(NamedTuple):
    """The two losses of masks: their weighted sum with gradients, and each alone without."""

    weighted: Float[Tensor, ""]
    mask: Float[Tensor, ""]
    dice: Float[Tensor, ""]


def point_losses(
    sampled: Float[Tensor, "n p"],
    truth: Float[Tensor, "n p"],
    known: Float[Tensor, "n p"],
    weights: tuple[float, float],
) -> MaskTerms:
    """Give `binary_loss` and `dice_loss` of masks at their points.

    All layers are judged before any gradient: what each keeps adds up. The gradient of the
    weighted sum is known as soon as the sum is: this keeps nothing else. Gradients once, of the
    logits.

    Args:
        sampled: Logits at the points.
        truth: At the points, 0 where it is not known.
        known: 0 where the truth is not known.
        weights: Of the two losses.
    """
    return MaskTerms(*_PointLosses.apply(sampled, truth, known, weights))  # type: ignore[misc]


class _PointLosses(torch.autograd.Function):
    """See `point_losses`."""

    @staticmethod
    def forward(
        ctx: Any, sampled: Tensor, truth: Tensor, known: Tensor, weights: tuple[float, float]
    ) -> tuple[Tensor, Tensor, Tensor]:
        learns = ctx.needs_input_grad[0]
        with torch.set_grad_enabled(learns):
            logits = sampled.detach().requires_grad_(learns)
            mask, dice = binary_loss(logits, truth, known), dice_loss(logits, truth, known)
            weighted = weights[0] * mask + weights[1] * dice
        if learns:
            ctx.save_for_backward(*torch.autograd.grad(weighted, logits))
        parts = weighted.detach(), mask.detach(), dice.detach()
        ctx.mark_non_differentiable(*parts[1:])
        return parts

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[override]
        ctx: Any, to_weighted: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, ...]:
        (to_sampled,) = ctx.saved_tensors
        return to_weighted * to_sampled, None, None, None
