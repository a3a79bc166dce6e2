"""Steps of a pyramid that align what they add (FaPN, Huang et al. 2021, 3.2 and 3.3).

Built from the paper. Maps are normalised by groups, as in the other pixel decoders.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.deformable_convolution import DeformableConvolution
from unimask.modeling.layers.pyramid import (
    lateral_convolution,
    output_convolution,
    start_convolutions,
)


class FeatureSelection(nn.Module):
    """Raise the channels that matter in this picture, then narrow the map (3.3, eq. 4).

    Unlike squeeze-and-excitation it adds the weighted map to the map itself: no channel is
    ever lost.

    Args:
        input_dim: Channels of the backbone's map.
        dim: Width of the pyramid.
    """

    def __init__(self, *, input_dim: int, dim: int) -> None:
        super().__init__()
        self.importance = nn.Conv2d(input_dim, input_dim, 1)
        self.select = lateral_convolution(input_dim, dim)
        start_convolutions(self)

    def forward(self, feature: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c h w"]:
        """Give the map at the pyramid's width."""
        weights = self.importance(feature.mean((2, 3), keepdim=True)).sigmoid()
        return self.select(feature + weights * feature)


class AlignedStep(nn.Module):
    """Move a coarser map to where a finer one's features are, then add both (3.2, eq. 2 and 3).

    Args:
        input_dim: Channels of the finer map.
        dim: Width of the pyramid.
        num_groups: Groups of channels that move alike.
    """

    def __init__(self, *, input_dim: int, dim: int, num_groups: int) -> None:
        super().__init__()
        self.selection = FeatureSelection(input_dim=input_dim, dim=dim)
        self.difference = nn.Conv2d(2 * dim, dim, 1)
        self.align = DeformableConvolution(dim=dim, guide_dim=dim, num_groups=num_groups)
        self.output = output_convolution(dim, dim)
        start_convolutions(self.difference)
        start_convolutions(self.output)

    def forward(
        self, finer: Float[Tensor, "b d h w"], coarser: Float[Tensor, "b c i j"]
    ) -> Float[Tensor, "b c h w"]:
        """Give the pyramid's map at the finer size."""
        selected = self.selection(finer)
        upsampled = F.interpolate(coarser, finer.shape[-2:], mode="bilinear", align_corners=False)
        guide = self.difference(torch.cat([selected, upsampled], dim=1))
        return self.output(selected + F.relu(self.align(upsampled, guide)))
