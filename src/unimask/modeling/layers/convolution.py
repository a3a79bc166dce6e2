"""Convolutions of 3x3 between wide maps."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.linear import forget, kept, packs
from unimask.kernels.winograd import transform_filters, winograd

WIDE = 192
"""Channels from which on the quick way pays."""


class Convolution3x3(nn.Conv2d):
    """A convolution that keeps the map's size; without gradients on a CPU by Winograd's filters.

    Args:
        inputs: Channels of the map.
        outputs: Channels of the result.
        bias: Whether to add one.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Convolve."""
        wide = min(self.in_channels, self.out_channels) >= WIDE
        if not wide or input.dtype != torch.float32 or not packs(self.weight):
            forget(self)
            return super().forward(input)
        out = winograd(input, kept(self, lambda: transform_filters(self.weight)))
        return out if self.bias is None else out.add_(self.bias[:, None, None])
