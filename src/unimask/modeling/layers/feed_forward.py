"""The feed-forward part of a transformer block."""

from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.feed_forward import feed_forward


class FeedForward(nn.Module):
    """Two linear layers with GELU between them.

    Args:
        dim: Number of channels of a token.
        hidden: Number of hidden channels.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(
        self, x: Float[Tensor, "b ... c"], norm: nn.LayerNorm | None = None
    ) -> Float[Tensor, "b ... c"]:
        """Compute `fc2(gelu(fc1(norm(x))))`; without a norm the tokens are used as they are."""
        return feed_forward(x, self.fc1, self.fc2, "gelu", norm=norm)
