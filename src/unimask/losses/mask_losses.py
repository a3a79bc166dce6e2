"""Losses and costs of masks at points (Mask2Former, 3.3; `modeling/{matcher,criterion}.py`)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def binary_loss(
    logits: Float[Tensor, "n p"], truth: Float[Tensor, "n p"], known: Float[Tensor, "n p"]
) -> Float[Tensor, ""]:
    """Sum over masks of the binary cross entropy, averaged over each mask's known points."""
    loss = F.binary_cross_entropy_with_logits(logits, truth, weight=known, reduction="none")
    return (loss.sum(1) / known.sum(1).clamp(min=1)).sum()


def dice_loss(
    logits: Float[Tensor, "n p"], truth: Float[Tensor, "n p"], known: Float[Tensor, "n p"]
) -> Float[Tensor, ""]:
    """Sum over masks of one minus dice, with 1 added above and below (V-Net, smoothed).

    The truth must be 0 where it is not known: masking it here would keep one more copy.
    """
    probs = logits.sigmoid()
    overlap = 2 * (probs * truth).sum(1)
    return (1 - (overlap + 1) / ((probs * known).sum(1) + truth.sum(1) + 1)).sum()


def binary_cost(logits: Float[Tensor, "q p"], truth: Float[Tensor, "n p"]) -> Float[Tensor, "q n"]:
    """Give `binary_loss` of every pair: softplus(x) - x t, the products in one matrix product."""
    against_nothing = F.softplus(logits).sum(1, keepdim=True)
    return (against_nothing - logits @ truth.T) / max(truth.shape[1], 1)


def dice_cost(logits: Float[Tensor, "q p"], truth: Float[Tensor, "n p"]) -> Float[Tensor, "q n"]:
    """Give `dice_loss` of every pair."""
    probs = logits.sigmoid()
    overlap = 2 * (probs @ truth.T)
    return 1 - (overlap + 1) / (probs.sum(1)[:, None] + truth.sum(1)[None, :] + 1)


def class_cost(class_logits: Float[Tensor, "q k"], labels: Tensor) -> Float[Tensor, "q n"]:
    """Give minus the probability of each target's class."""
    return -torch.softmax(class_logits, -1)[:, labels]
