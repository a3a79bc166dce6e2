"""Modulated deformable convolution as a layer (Zhu et al. 2019)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.deformable_convolution import deformable_convolution


class DeformableConvolution(nn.Module):
    """3x3 deformable convolution whose offsets and modulation are predicted from another map.

    Initial offsets are 0 and initial modulation is 0.5.

    Args:
        dim: Number of input and output channels.
        guide_dim: Number of channels of the guiding map.
        num_groups: Number of groups of channels with common offsets.
    """

    taps = 9

    def __init__(self, *, dim: int, guide_dim: int, num_groups: int) -> None:
        super().__init__()
        self.num_groups = num_groups
        self.weight = nn.Parameter(torch.empty(dim, dim, 3, 3))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.guide = nn.Conv2d(guide_dim, 3 * num_groups * self.taps, 3, padding=1)
        nn.init.kaiming_uniform_(self.weight, a=1)
        nn.init.zeros_(self.guide.weight)
        nn.init.zeros_(self.guide.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Float[Tensor, "b c h w"], guide: Float[Tensor, "b d h w"]
    ) -> Float[Tensor, "b c h w"]:
        """Convolve `x` with offsets and modulation predicted from `guide`."""
        predicted = self.guide(guide).unflatten(1, (self.num_groups, self.taps, 3))
        offsets, modulation = predicted[:, :, :, :2], predicted[:, :, :, 2].sigmoid()
        out = deformable_convolution(x, self.weight, offsets, modulation)
        return out + self.bias[:, None, None]
