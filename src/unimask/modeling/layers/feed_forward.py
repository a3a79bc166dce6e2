"""The feed-forward part of a transformer block."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.linear import kept, ready_layer
from unimask.kernels.rows import by_rows


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

    def forward(self, x: Float[Tensor, "b ... c"]) -> Float[Tensor, "b ... c"]:  # noqa: D102
        return self.ready()(x)

    def ready(self) -> Callable[[Float[Tensor, "b ... c"]], Float[Tensor, "b ... c"]]:
        """Give `forward` as a function for many calls."""
        widen, narrow = kept(self, lambda: (ready_layer(self.fc1, "gelu"), ready_layer(self.fc2)))
        return lambda x: by_rows(lambda rows: narrow(widen(rows)), x.flatten(1, -2)).view(x.shape)
