"""Feature-aligned pyramid steps (FaPN, Huang et al. 2021, 3.2 and 3.3).

Implemented from the paper, with group norm as in the other pixel decoders.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.deformable_convolution import DeformableConvolution
from unimask.modeling.layers.pyramid import (
    initialize_convolutions,
    lateral_convolution,
    output_convolution,
)


class FeatureSelection(nn.Module):
    """Feature selection: channel attention, then projection (3.3, eq. 4).

    Unlike squeeze-and-excitation, the weighted map is added to the map itself, so that no channel
    is suppressed completely.

    Args:
        input_dim: Number of channels of the backbone's map.
        dim: Number of channels of the pyramid.
    """

    def __init__(self, *, input_dim: int, dim: int) -> None:
        super().__init__()
        self.importance = nn.Conv2d(input_dim, input_dim, 1)
        self.select = lateral_convolution(input_dim, dim)
        initialize_convolutions(self)

    def forward(self, feature: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c h w"]:
        """Compute the projected map."""
        weights = self.importance(feature.mean((2, 3), keepdim=True)).sigmoid()
        return self.select(feature + weights * feature)


class AlignedStep(nn.Module):
    """Feature alignment: align a coarser map with a finer one, then add both (3.2, eq. 2 and 3).

    Args:
        input_dim: Number of channels of the finer map.
        dim: Number of channels of the pyramid.
        num_groups: Number of groups of channels with common offsets.
    """

    def __init__(self, *, input_dim: int, dim: int, num_groups: int) -> None:
        super().__init__()
        self.selection = FeatureSelection(input_dim=input_dim, dim=dim)
        self.difference = nn.Conv2d(2 * dim, dim, 1)
        self.align = DeformableConvolution(dim=dim, guide_dim=dim, num_groups=num_groups)
        self.output = output_convolution(dim, dim)
        initialize_convolutions(self.difference)
        initialize_convolutions(self.output)

    def forward(
        self, finer: Float[Tensor, "b d h w"], coarser: Float[Tensor, "b c i j"]
    ) -> Float[Tensor, "b c h w"]:
        """Compute the pyramid's map at the finer size."""
        selected = self.selection(finer)
        upsampled = F.interpolate(coarser, finer.shape[-2:], mode="bilinear", align_corners=False)
        guide = self.difference(torch.cat([selected, upsampled], dim=1))
        return self.output(selected + F.relu(self.align(upsampled, guide)))
