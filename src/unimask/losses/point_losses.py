"""Mask and dice loss at points that keep little for their gradients."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.losses.mask_losses import binary_loss, dice_loss


def point_losses(
    sampled: Float[Tensor, "n p"], truth: Float[Tensor, "n p"], known: Float[Tensor, "n p"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Give `binary_loss` and `dice_loss` of masks at their points.

    All layers are judged before any gradient: what each keeps adds up. This keeps logits and
    truth alone, a third of what autograd would, and does the rest again. Gradients once, of the
    logits.

    Args:
        sampled: Logits at the points.
        truth: At the points, 0 where it is not known.
        known: 0 where the truth is not known.
    """
    return _PointLosses.apply(sampled, truth, known)  # type: ignore[return-value]


class _PointLosses(torch.autograd.Function):
    """Keeps what it is given."""

    @staticmethod
    def forward(ctx: Any, sampled: Tensor, truth: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(sampled, truth, known)
        return binary_loss(sampled, truth, known), dice_loss(sampled, truth, known)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[override]
        ctx: Any, to_binary: Tensor, to_dice: Tensor
    ) -> tuple[Tensor | None, ...]:
        sampled, truth, known = ctx.saved_tensors
        with torch.enable_grad():
            sampled = sampled.detach().requires_grad_()
            losses = binary_loss(sampled, truth, known), dice_loss(sampled, truth, known)
            (to_sampled,) = torch.autograd.grad(losses, sampled, (to_binary, to_dice))
        return to_sampled, None, None
