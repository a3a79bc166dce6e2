"""Convolutions of 3x3 between wide maps."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.linear import arithmetic, forget, kept, learns, packs
from unimask.kernels.winograd import learn_winograd, ready_filters, winograd

WIDE = 192
"""Channels from which on the quick way pays."""


class Convolution3x3(nn.Conv2d):
    """A convolution that keeps the map's size; on a CPU by Winograd's filters.

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
        if wide and input.dtype == torch.float32 and packs(self.weight):
            out = winograd(input, kept(self, lambda: ready_filters(self.weight)))
            return out if self.bias is None else out.add_(self.bias[:, None, None])
        forget(self)
        if wide and arithmetic(input) == torch.float32 and learns(input):
            out = learn_winograd(input, self.weight)
            return out if self.bias is None else out + self.bias[:, None, None]
        return super().forward(input)
