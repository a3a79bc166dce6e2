"""Mask and dice loss at points that keep little for their gradients."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.losses.mask_losses import binary_loss, dice_loss
from unimask.losses.points import sample_logits


def point_losses(
    logits: Float[Tensor, "n h w"],
    points: Float[Tensor, "n p 2"],
    truth: Float[Tensor, "n p"],
    known: Float[Tensor, "n p"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Give `binary_loss` and `dice_loss` of masks at their points.

    All layers are judged before any gradient: what each keeps adds up. This keeps points, logits
    and truth there, a third of what autograd would, and does the rest again. Gradients once, of
    the logits.

    Args:
        logits: Of each mask.
        points: (x, y) from 0 to 1.
        truth: At the points, 0 where it is not known.
        known: 0 where the truth is not known.
    """
    return _PointLosses.apply(logits, points, truth, known)  # type: ignore[return-value]


class _PointLosses(torch.autograd.Function):
    """Keeps what was sampled, and where."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, points: Tensor, truth: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        sampled = sample_logits(logits, points)
        ctx.save_for_backward(sampled, points, truth, known)
        ctx.size = logits.shape[1:]
        return binary_loss(sampled, truth, known), dice_loss(sampled, truth, known)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[override]
        ctx: Any, to_binary: Tensor, to_dice: Tensor
    ) -> tuple[Tensor | None, ...]:
        sampled, points, truth, known = ctx.saved_tensors
        with torch.enable_grad():
            sampled = sampled.detach().requires_grad_()
            losses = binary_loss(sampled, truth, known), dice_loss(sampled, truth, known)
            (to_sampled,) = torch.autograd.grad(losses, sampled, (to_binary, to_dice))
        # Only the size of what was sampled matters to its own gradient.
        sizes = sampled.new_zeros(()).expand(len(sampled), 1, *ctx.size)
        to_logits, _ = torch.ops.aten.grid_sampler_2d_backward(
            to_sampled[:, None, :, None],
            sizes,
            (2 * points - 1)[:, :, None],
            0,  # bilinear
            0,  # zeros outside
            False,
            (True, False),
        )
        return to_logits[:, 0], None, None, None
