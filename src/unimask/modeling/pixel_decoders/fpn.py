"""Feature pyramids as pixel decoders (MaskFormer, 3.4; `mask_former/.../pixel_decoder.py`)."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.positions import level_positions
from unimask.modeling.layers.convolution import Convolution3x3
from unimask.modeling.layers.detr import DetrEncoderLayer
from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.layers.pyramid import (
    lateral_convolution,
    output_convolution,
    start_convolutions,
)
from unimask.modeling.pixel_decoders.output import PixelDecoderOutput


class PyramidStep(nn.Module):
    """Add a coarser map, its nearest cells repeated, to a finer one, and smooth the sum.

    Args:
        input_dim: Channels of the finer map.
        dim: Width of the pyramid.
    """

    def __init__(self, *, input_dim: int, dim: int) -> None:
        super().__init__()
        self.lateral = lateral_convolution(input_dim, dim)
        self.output = output_convolution(dim, dim)
        start_convolutions(self)

    def forward(
        self, finer: Float[Tensor, "b d h w"], coarser: Float[Tensor, "b c i j"]
    ) -> Float[Tensor, "b c h w"]:
        """Give the pyramid's map at the finer size."""
        upsampled = F.interpolate(coarser, finer.shape[-2:], mode="nearest")
        return self.output(self.lateral(finer) + upsampled)


class MapEncoder(nn.Module):
    """A transformer encoder over one map (`TransformerEncoderPixelDecoder`).

    Args:
        input_dim: Channels of the map.
        dim: Width of the encoder.
        layers: Of the encoder.
    """

    def __init__(self, *, input_dim: int, dim: int, layers: Sequence[DetrEncoderLayer]) -> None:
        super().__init__()
        self.input_proj = nn.Conv2d(input_dim, dim, 1)
        self.layers = nn.ModuleList(layers)
        start_convolutions(self.input_proj)

    def forward(self, feature: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c h w"]:
        """Let the map's cells attend to one another."""
        size = (feature.shape[-2], feature.shape[-1])
        memory = self.input_proj(feature).flatten(2).transpose(1, 2)
        (positions,) = level_positions([size], memory.shape[-1], memory, local=False)
        for layer in self.layers:
            memory = layer(memory, positions)
        return memory.transpose(1, 2).unflatten(-1, size)


class FPNPixelDecoder(nn.Module):
    """Build a pyramid from coarse to fine; its finest map makes the mask features.

    Args:
        input_channels: Channels of the backbone's maps, fine to coarse.
        dim: Width of the pyramid.
        mask_dim: Channels of the mask features.
        steps: Join the pyramid with the backbone's maps at strides 16, 8 and 4, in that order.
        encoder: Runs over the map at stride 32 first.
    """

    num_levels = 3

    def __init__(
        self,
        *,
        input_channels: tuple[int, ...],
        dim: int,
        mask_dim: int,
        steps: Sequence[nn.Module],
        encoder: MapEncoder | None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.stem = output_convolution(input_channels[-1] if encoder is None else dim, dim)
        self.steps = nn.ModuleList(steps)
        self.mask_features = Convolution3x3(dim, mask_dim, bias=True)
        start_convolutions(self.stem)
        start_convolutions(self.mask_features)

    def forward(self, features: tuple[Tensor, ...]) -> PixelDecoderOutput:
        """Give the mask features, the pyramid's coarser maps, and the map that it stands on."""
        *finer, coarse = features
        if self.encoder is not None:
            coarse = self.encoder(coarse)
        pyramid = [self.stem(coarse)]
        for step, feature in zip(self.steps, reversed(finer), strict=True):
            pyramid.append(step(feature, pyramid[-1]))
        *maps, finest = pyramid
        return PixelDecoderOutput(MaskFeatures(self.mask_features(finest)), tuple(maps), coarse)
