"""Stochastic depth."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DropPath(nn.Module):
    """Drops a residual branch for whole samples in training (Huang et al. 2016).

    Args:
        rate: Probability that a sample drops the branch; the others are scaled to keep the mean.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Return the branch, with zeros for the samples that drop it."""
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        return branch * torch.bernoulli(branch.new_full(shape, keep)) / keep
