"""The feed-forward part of a transformer block."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.feed_forward import Parameters, feed_forward
from unimask.kernels.layer_norm import Norm
from unimask.kernels.linear import forget, kept, learns, ready_layer
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

    def forward(
        self, x: Float[Tensor, "b ... c"], norm: nn.LayerNorm | None = None
    ) -> Float[Tensor, "b ... c"]:
        """Treat every token by itself, normalised first if so asked."""
        if learns(x):
            forget(self)
            own = Parameters(self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias)
            return feed_forward(x, own, "gelu", norm and Norm(norm.weight, norm.bias, norm.eps))
        return self.ready()(x if norm is None else norm(x))

    def ready(self) -> Callable[[Float[Tensor, "b ... c"]], Float[Tensor, "b ... c"]]:
        """Give `forward` as a function for many calls."""
        widen, narrow = kept(self, lambda: (ready_layer(self.fc1, "gelu"), ready_layer(self.fc2)))
        return lambda x: by_rows(lambda rows: narrow(widen(rows)), x.flatten(1, -2)).view(x.shape)
