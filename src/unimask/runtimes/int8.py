"""Preparation of a loaded network for int8: which of its layers multiply 8-bit integers.

Weights stay in float32; their 8-bit form is computed at the first prediction and cached. Layers of
few rows (queries), of few input channels, and those found sensitive compute in float32.
"""

from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.int8 import Int8Convolution, set_int8
from unimask.kernels.linear import cached_for_weights, linear
from unimask.modeling.backbones.convnext import ConvNeXtBlock
from unimask.modeling.backbones.dinat import NeighborhoodAttention
from unimask.modeling.backbones.swin import PatchMerging, WindowAttention
from unimask.modeling.layers.conv_norm import ConvNorm
from unimask.modeling.layers.convolution import Convolution3x3
from unimask.modeling.layers.deformable import DeformableAttention
from unimask.modeling.layers.deformable_convolution import DeformableConvolution
from unimask.modeling.layers.feed_forward import FeedForward
from unimask.modeling.layers.vit_block import GatedFeedForward, ViTAttention
from unimask.modeling.pixel_decoders.deformable import DeformableEncoderLayer
from unimask.modeling.segmenter import Segmenter

LINEAR_LAYERS: dict[type[nn.Module], tuple[str, ...]] = {
    ConvNeXtBlock: ("pwconv1", "pwconv2"),
    DeformableAttention: ("sampling_offsets", "attention_weights", "value_proj", "output_proj"),
    DeformableEncoderLayer: ("linear1", "linear2"),
    FeedForward: ("fc1", "fc2"),
    GatedFeedForward: ("fc1", "fc2"),
    NeighborhoodAttention: ("qkv", "proj"),
    PatchMerging: ("reduction",),
    ViTAttention: ("qkv", "proj"),
    WindowAttention: ("qkv", "proj"),
}
"""Linear layers over maps, by the module that holds them."""

MIN_CHANNELS = 32
"""Number of input channels from which a convolution in int8 is faster than in float32."""


class Int8LinearLayer(nn.Linear):
    """Linear layer that multiplies 8-bit integers, with the parameters of the one it replaces."""

    def forward(self, input: Float[Tensor, "... c"]) -> Float[Tensor, "... d"]:
        """Multiply."""
        return linear(input, self)


class Int8Conv2d(nn.Conv2d):
    """Convolution that multiplies 8-bit integers, with the parameters of the layer it replaces."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return convolve(self, input, weight, bias)


class Int8ConvNorm(ConvNorm):
    """`ConvNorm` that multiplies 8-bit integers; fixed statistics are folded in before rounding."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return convolve(self, input, weight, bias)


class Int8Convolution3x3(Convolution3x3):
    """`Convolution3x3` that multiplies 8-bit integers."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Convolve."""
        return convolve(self, input, self.weight, self.bias)


CONVOLUTIONS: dict[type[nn.Module], type[nn.Conv2d]] = {
    nn.Conv2d: Int8Conv2d,
    ConvNorm: Int8ConvNorm,
    Convolution3x3: Int8Convolution3x3,
}
"""Convolutions and their form in int8."""


def convolve(
    layer: nn.Conv2d,
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "d c k k"],
    bias: Float[Tensor, " d"] | None,
) -> Float[Tensor, "b d i j"]:
    """Convolve in int8 with a weight derived from the layer's, whose 8-bit form is cached."""
    return cached_for_weights(layer, lambda: Int8Convolution(layer, weight, bias))(x)


def prepare_int8(network: Segmenter) -> None:
    """Convert the layers of backbone and pixel decoder that gain from it to int8, in place.

    Args:
        network: Network in float32 on a CPU, in eval mode.
    """
    set_int8(network)
    for part in (network.backbone, network.pixel_decoder):
        # Sampling points move by pixels: rounding their offsets moves what is sampled.
        guides = [
            layer.guide for layer in part.modules() if isinstance(layer, DeformableConvolution)
        ]
        for module in part.modules():
            for name in LINEAR_LAYERS.get(type(module), ()):
                layer = module.get_submodule(name)
                layer.__class__ = Int8LinearLayer
                set_int8(layer)
            if gains_from_int8(module) and module not in guides:
                module.__class__ = CONVOLUTIONS[type(module)]


def gains_from_int8(module: nn.Module) -> bool:
    """Return whether a module is a convolution that is faster in int8.

    Depthwise convolutions are bound by memory: quantizing their inputs takes longer than they do.
    """
    return (
        type(module) in CONVOLUTIONS
        and isinstance(module, nn.Conv2d)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and module.in_channels >= MIN_CHANNELS
    )
