"""Anchored queries: an ellipse around the anchor initializes their masks."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.ellipses import ellipse_logits
from unimask.modeling.layers.mlp import MLP


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
            return ellipse_logits(shape.float(), *anchors, size)
