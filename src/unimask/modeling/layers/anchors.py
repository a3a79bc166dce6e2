"""Anchored queries: an ellipse around the anchor initializes their masks."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.mlp import MLP

STEEPNESS = 4.0
"""Mask logit at the centre of an untrained ellipse; it decreases to 0 at the boundary."""


class Anchors(NamedTuple):
    """Anchors of queries.

    Attributes:
        centres: Centres (x, y) in pixels of the network's input.
        radii: Radii in pixels.
        extent: Width and height of the network's input in pixels.
    """

    centres: Float[Tensor, "b q 2"]
    radii: Float[Tensor, "b q"]
    extent: tuple[int, int]


class EllipseHead(nn.Module):
    """Predicts an ellipse for each query: a cone of mask logits that is 0 at the boundary.

    With dot products alone, the network separates objects of similar appearance only by position
    encodings, which takes long to learn. The ellipse localizes the mask from the first step, and
    the dot product refines its boundary.

    Args:
        dim: Number of channels of the queries.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.shape = MLP(dim, dim, 6, num_layers=2)
        for parameter in self.shape.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, queries: Float[Tensor, "b q c"], anchors: Anchors, size: tuple[int, int]
    ) -> Float[Tensor, "b q h w"]:
        """Compute the logits at the pixel centres of a map in float32."""
        with torch.autocast(queries.device.type, enabled=False):
            shape = self.shape(queries.to(next(self.shape.parameters()).dtype))
            return self.cone(shape.float(), anchors, size)

    def cone(
        self, shape: Float[Tensor, "b q 6"], anchors: Anchors, size: tuple[int, int]
    ) -> Float[Tensor, "b q h w"]:
        """Compute the cones of logits.

        Args:
            shape: Shift (x, y), logarithms of the inverse axes, shear and logarithm of the
                steepness, in units of the radius.
            anchors: Anchors of the queries.
            size: Height and width of the map.
        """
        shift, axes, shear, steepness = shape.split([2, 2, 1, 1], dim=-1)
        centres = anchors.centres + shift * anchors.radii[..., None]
        inverse = axes.clamp(-4, 4).exp() / anchors.radii[..., None]
        width, height = anchors.extent
        columns = (torch.arange(size[1], device=shape.device) + 0.5) * (width / size[1])
        rows = (torch.arange(size[0], device=shape.device) + 0.5) * (height / size[0])
        columns, rows = columns - centres[..., :1], rows - centres[..., 1:]
        across = (columns * inverse[..., :1])[..., None, :]
        down = (rows * inverse[..., 1:])[..., :, None]
        distance = ((across + shear[..., None] * down).square() + down.square() + 1e-4).sqrt()
        return STEEPNESS * steepness.clamp(-4, 4).exp()[..., None] * (1 - distance)
