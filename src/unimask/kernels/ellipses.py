"""Mask logits of ellipses."""

import torch
from jaxtyping import Float
from torch import Tensor

STEEPNESS = 4.0
"""Mask logit at the centre of an untrained ellipse; it decreases to 0 at the boundary."""


def ellipse_logits(
    shape: Float[Tensor, "b q 6"],
    anchors: Float[Tensor, "b q 2"],
    radii: Float[Tensor, "b q"],
    extent: tuple[int, int],
    size: tuple[int, int],
) -> Float[Tensor, "b q h w"]:
    """Compute cones of logits that are 0 at the boundary of an ellipse.

    Args:
        shape: Shift (x, y), logarithms of the inverse axes, shear and logarithm of the steepness,
            in units of the radius.
        anchors: Points (x, y) in pixels from which centres are shifted.
        radii: Radii in pixels.
        extent: Width and height of the image in pixels.
        size: Height and width of the map.
    """
    shift, axes, shear, steepness = shape.split([2, 2, 1, 1], dim=-1)
    centres = anchors + shift * radii[..., None]
    inverse = axes.clamp(-4, 4).exp() / radii[..., None]
    width, height = extent
    columns = (torch.arange(size[1], device=shape.device) + 0.5) * (width / size[1])
    rows = (torch.arange(size[0], device=shape.device) + 0.5) * (height / size[0])
    columns, rows = columns - centres[..., :1], rows - centres[..., 1:]
    across = (columns * inverse[..., :1])[..., None, :]
    down = (rows * inverse[..., 1:])[..., :, None]
    distance = ((across + shear[..., None] * down).square() + down.square() + 1e-4).sqrt()
    return STEEPNESS * steepness.clamp(-4, 4).exp()[..., None] * (1 - distance)
