"""Convolutions of 8-bit weights and activations by oneDNN, which has no gradients."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.int8.linear import refuse_gradients
from unimask.kernels.int8.quantization import quantize, quantize_weight


class Int8Convolution:
    """Convolution of maps with products of 8-bit integers, with the options of a layer.

    Args:
        layer: Layer whose stride, padding (zeros), dilation and groups apply.
        weight: Weight, for example with a normalization folded in; its values are copied.
        bias: Bias, or None.
    """

    def __init__(
        self, layer: nn.Conv2d, weight: Float[Tensor, "d c k k"], bias: Float[Tensor, " d"] | None
    ) -> None:
        values, self.scales = quantize_weight(weight)
        assert not isinstance(layer.padding, str)
        self.geometry = layer.stride, layer.padding, layer.dilation, layer.groups
        self.packed = torch.ops.onednn.qconv_prepack(values, self.scales, 1.0, 0, *self.geometry)
        self.zero_points = torch.zeros(len(weight), dtype=torch.int64)
        self.bias = bias

    def __call__(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Quantize the maps by their extremes, and convolve; the result is channels-last."""
        refuse_gradients()
        pixels = quantize(x.permute(0, 2, 3, 1).contiguous())
        return torch.ops.onednn.qconv2d_pointwise.default(
            pixels.values.permute(0, 3, 1, 2), *pixels.range,
            self.packed, self.scales, self.zero_points, self.bias,
            *self.geometry, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
