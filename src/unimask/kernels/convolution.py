"""3x3 convolutions by the fastest implementation for the device and the number of channels."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.linear import (
    cached_for_weights,
    can_prepack,
    compute_dtype,
    drop_cached,
    uses_custom_autograd,
)
from unimask.kernels.winograd import transformed_filters, winograd, winograd_autograd

MIN_CHANNELS = 192
"""Number of channels from which Winograd's algorithm is faster than a direct convolution."""


def convolution_3x3(x: Float[Tensor, "b c h w"], layer: nn.Conv2d) -> Float[Tensor, "b d h w"]:
    """Apply a 3x3 convolution with stride 1 and padding 1.

    On a CPU, convolutions of many channels in float32 use Winograd's algorithm.

    Args:
        x: Maps.
        layer: The convolution; its transformed filters are cached while the weight is unchanged.
    """
    wide = min(layer.in_channels, layer.out_channels) >= MIN_CHANNELS
    if wide and x.dtype == torch.float32 and can_prepack(layer.weight):
        out = winograd(x, cached_for_weights(layer, lambda: transformed_filters(layer.weight)))
        return out if layer.bias is None else out.add_(layer.bias[:, None, None])
    drop_cached(layer)
    if wide and compute_dtype(x) == torch.float32 and uses_custom_autograd(x):
        out = winograd_autograd(x, layer.weight)
        return out if layer.bias is None else out + layer.bias[:, None, None]
    return F.conv2d(x, layer.weight, layer.bias, padding=1)
