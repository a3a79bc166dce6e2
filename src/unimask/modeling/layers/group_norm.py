"""Group normalization as a layer."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.group_norm import group_norm


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm`, optionally followed by ReLU; without gradients the input is overwritten.

    Args:
        groups: Number of groups; divides the number of channels.
        channels: Number of channels.
        rectified: Whether ReLU follows.
    """

    def __init__(self, groups: int, channels: int, *, rectified: bool = False) -> None:
        super().__init__(groups, channels)
        self.rectified = rectified

    def forward(
        self,
        input: Float[Tensor, "b c h w"],
        added: Callable[[slice], Float[Tensor, "b c i w"]] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Normalize each group of channels, then add another map.

        Args:
            input: Maps.
            added: Function that returns the given rows of the map to add; None adds nothing.
        """

        def finish(rows: Tensor, where: slice) -> None:
            if added is not None:
                rows += added(where)
            if self.rectified:
                rows.relu_()

        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps, finish)
