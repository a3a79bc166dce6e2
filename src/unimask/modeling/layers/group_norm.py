"""Group normalisation as a layer."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.group_norm import group_norm


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm` by our own kernel; without gradients its input is used up.

    Args:
        groups: They divide the channels.
        channels: Of the map.
        rectified: Whether values below zero become zero.
    """

    def __init__(self, groups: int, channels: int, *, rectified: bool = False) -> None:
        super().__init__(groups, channels)
        self.rectified = rectified

    def forward(
        self,
        input: Float[Tensor, "b c h w"],
        added: Callable[[slice], Float[Tensor, "b c i w"]] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Normalise each group of channels; add another map, whose lines are asked for."""

        def finish(lines: Tensor, where: slice) -> None:
            if added is not None:
                lines += added(where)
            if self.rectified:
                lines.relu_()

        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps, finish)
