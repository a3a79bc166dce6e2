"""Temporal smoothing of the class scores of consecutive semantic predictions."""

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.processing.class_shares import mask_activation, query_class_probs

MIN_SHARE = 1e-6
"""Smallest share of a class, whose logit is finite."""

CERTAIN = 30.0
"""Class logit of queries that stand for one class for certain."""


class ScoreSmoother:
    """Exponential mean of the class shares of consecutive images, at the size of the mask logits.

    Args:
        weight: Weight of the earlier mean, from 0 (no smoothing) to below 1.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.mean: Float[Tensor, "k h w"] | None = None

    def update(
        self, class_logits: Float[Tensor, "q k1"], mask_logits: Float[Tensor, "q h w"]
    ) -> tuple[Float[Tensor, "k k1"], Float[Tensor, "k h w"]]:
        """Add a prediction, and return the mean as logits of one query for each class.

        Args:
            class_logits: Class logits; the last column is "no object".
            mask_logits: Mask logits.
        """
        probs, masks = query_class_probs(class_logits), mask_logits.float()
        activation = mask_activation(probs, masks)
        scores = torch.einsum("kq,qhw->khw", probs, activation(masks.clone()))
        shares = scores / scores.sum(0).clamp(min=1e-12)
        if self.mean is None or self.mean.shape != shares.shape:
            self.mean = shares
        else:
            self.mean = torch.lerp(shares, self.mean, self.weight)
        count = len(self.mean)
        certain = torch.zeros(count, count + 1, device=shares.device)
        certain.fill_diagonal_(CERTAIN)
        return certain, self.mean.clamp(MIN_SHARE, 1 - MIN_SHARE).logit()
