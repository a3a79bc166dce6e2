"""Losses and matching costs of masks (`modeling/{matcher,criterion}.py` of both papers' code)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def binary_loss(
    logits: Float[Tensor, "n p"], ground_truth: Float[Tensor, "n p"], known: Float[Tensor, "n p"]
) -> Float[Tensor, ""]:
    """Sum over masks of the binary cross entropy, averaged over each mask's known points."""
    loss = F.binary_cross_entropy_with_logits(logits, ground_truth, weight=known, reduction="none")
    return (loss.sum(1) / known.sum(1).clamp(min=1)).sum()


def focal_loss(
    logits: Float[Tensor, "n p"],
    ground_truth: Float[Tensor, "n p"],
    known: Float[Tensor, "n p"],
    alpha: float,
    gamma: float,
) -> Float[Tensor, ""]:
    """Sum over masks of the focal loss (Lin et al. 2017), averaged over each mask's known pixels.

    Args:
        logits: Logits of each mask.
        ground_truth: Ground truth of each mask: 1 inside, 0 outside.
        known: 1 where the ground truth is known, 0 elsewhere.
        alpha: Weight of pixels inside the mask; pixels outside have the weight 1 - alpha.
        gamma: Exponent of the error that weights each pixel.
    """
    entropy = F.binary_cross_entropy_with_logits(
        logits, ground_truth, weight=known, reduction="none"
    )
    probs = logits.sigmoid()
    error = probs + ground_truth - 2 * probs * ground_truth
    weight = (1 - alpha) + (2 * alpha - 1) * ground_truth
    return ((weight * error**gamma * entropy).sum(1) / known.sum(1).clamp(min=1)).sum()


def dice_loss(
    logits: Float[Tensor, "n p"],
    ground_truth: Float[Tensor, "n p"],
    known: Float[Tensor, "n p"],
    smoothing: float = 1.0,
) -> Float[Tensor, ""]:
    """Sum over masks of 1 - dice (V-Net, smoothed).

    Args:
        logits: Logits of each mask.
        ground_truth: Ground truth of each mask: 1 inside, 0 outside. It must be 0 where it is not
            known: masking it here would save another copy.
        known: 1 where the ground truth is known, 0 elsewhere.
        smoothing: Number added to numerator and denominator.
    """
    probs = logits.sigmoid()
    overlap = 2 * (probs * ground_truth).sum(1) + smoothing
    return (1 - overlap / ((probs * known).sum(1) + ground_truth.sum(1) + smoothing)).sum()


def binary_cost(
    logits: Float[Tensor, "q p"], ground_truth: Float[Tensor, "n p"]
) -> Float[Tensor, "q n"]:
    """Compute `binary_loss` of every pair: softplus(x) - x t, as one matrix product."""
    empty_mask_loss = F.softplus(logits).sum(1, keepdim=True)
    return (empty_mask_loss - logits @ ground_truth.T) / max(ground_truth.shape[1], 1)


def focal_cost(
    logits: Float[Tensor, "q p"], ground_truth: Float[Tensor, "n p"], alpha: float, gamma: float
) -> Float[Tensor, "q n"]:
    """Compute `focal_loss` of every pair, as one matrix product."""
    probs = logits.sigmoid()
    inside = alpha * (1 - probs) ** gamma * F.softplus(-logits)
    outside = (1 - alpha) * probs**gamma * F.softplus(logits)
    total = outside.sum(1, keepdim=True) + (inside - outside) @ ground_truth.T
    return total / max(ground_truth.shape[1], 1)


def dice_cost(
    logits: Float[Tensor, "q p"], ground_truth: Float[Tensor, "n p"], smoothing: float = 1.0
) -> Float[Tensor, "q n"]:
    """Compute `dice_loss` of every pair."""
    probs = logits.sigmoid()
    overlap = 2 * (probs @ ground_truth.T) + smoothing
    return 1 - overlap / (probs.sum(1)[:, None] + ground_truth.sum(1)[None, :] + smoothing)


def smoothing_of(fraction: float | None, points: int) -> float:
    """Return the smoothing of `dice_loss` for a number of points; 1 if no fraction is given."""
    return 1.0 if fraction is None else fraction * points


def class_cost(class_logits: Float[Tensor, "q k"], labels: Tensor) -> Float[Tensor, "q n"]:
    """Return minus the probability of each object's class, for every query."""
    return -torch.softmax(class_logits, -1)[:, labels]
