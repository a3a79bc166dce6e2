"""Group normalisation as a layer."""

from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.group_norm import group_norm


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm` by our own kernel; without gradients its input is used up."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise each group of channels."""
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
