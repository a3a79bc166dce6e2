"""The feed-forward part of a transformer block."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class FeedForward(nn.Module):
    """Two linear layers with GELU between them.

    Args:
        dim: Width of a token, before and after.
        hidden: Width in between.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:  # noqa: D102
        return self.fc2(F.gelu(self.fc1(x)))
