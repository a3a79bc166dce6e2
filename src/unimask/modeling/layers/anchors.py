"""Queries that belong to a place: an ellipse around it is where their masks begin."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.mlp import MLP

STEEPNESS = 4.0
"""Mask logit in the middle of an untrained ellipse; it falls to 0 at the rim."""


class Anchors(NamedTuple):
    """Where queries come from.

    Attributes:
        centres: x and y in pixels of the network's input.
        radii: In pixels too.
        extent: Width and height of that input.
    """

    centres: Float[Tensor, "b q 2"]
    radii: Float[Tensor, "b q"]
    extent: tuple[int, int]


class EllipseHead(nn.Module):
    """Draw a soft ellipse for each query: a cone of mask logits, 0 at the rim.

    A mask that is a dot product alone must tell objects of one look apart by codes of place that
    take long to learn. The ellipse gives the place from the first step, and the dot product is
    left with the outline.

    Args:
        dim: Width of the queries.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.shape = MLP(dim, dim, 6, num_layers=2)
        for parameter in self.shape.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, queries: Float[Tensor, "b q c"], anchors: Anchors, size: tuple[int, int]
    ) -> Float[Tensor, "b q h w"]:
        """Give the logits at the centres of the cells of a map, in float32."""
        with torch.autocast(queries.device.type, enabled=False):
            shape = self.shape(queries.to(next(self.shape.parameters()).dtype))
            return self.cone(shape.float(), anchors, size)

    def cone(
        self, shape: Float[Tensor, "b q 6"], anchors: Anchors, size: tuple[int, int]
    ) -> Float[Tensor, "b q h w"]:
        """Draw from shift (x, y), two inverse axes, slant and steepness, in units of the radius."""
        shift, axes, slant, steep = shape.split([2, 2, 1, 1], dim=-1)
        centres = anchors.centres + shift * anchors.radii[..., None]
        inverse = axes.clamp(-4, 4).exp() / anchors.radii[..., None]
        width, height = anchors.extent
        columns = (torch.arange(size[1], device=shape.device) + 0.5) * (width / size[1])
        rows = (torch.arange(size[0], device=shape.device) + 0.5) * (height / size[0])
        columns, rows = columns - centres[..., :1], rows - centres[..., 1:]
        across = (columns * inverse[..., :1])[..., None, :]
        down = (rows * inverse[..., 1:])[..., :, None]
        distance = ((across + slant[..., None] * down).square() + down.square() + 1e-4).sqrt()
        return STEEPNESS * steep.clamp(-4, 4).exp()[..., None] * (1 - distance)
