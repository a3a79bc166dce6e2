"""Feature pyramids as pixel decoders (MaskFormer, 3.4; `mask_former/.../pixel_decoder.py`)."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.positions import level_positions
from unimask.modeling.layers.convolution import Convolution3x3
from unimask.modeling.layers.detr import DetrEncoderLayer
from unimask.modeling.layers.detr_head import EncodedMaps
from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.layers.pyramid import (
    initialize_convolutions,
    lateral_convolution,
    output_convolution,
)
from unimask.modeling.pixel_decoders.output import PixelDecoderOutput


class PyramidStep(nn.Module):
    """Add the upsampled (nearest) coarser map to the projected finer map, then convolve.

    Args:
        input_dim: Number of channels of the finer map.
        dim: Number of channels of the pyramid.
    """

    def __init__(self, *, input_dim: int, dim: int) -> None:
        super().__init__()
        self.lateral = lateral_convolution(input_dim, dim)
        self.output = output_convolution(dim, dim)
        initialize_convolutions(self)

    def forward(
        self, finer: Float[Tensor, "b d h w"], coarser: Float[Tensor, "b c i j"]
    ) -> Float[Tensor, "b c h w"]:
        """Compute the pyramid's map at the finer size."""
        upsampled = F.interpolate(coarser, finer.shape[-2:], mode="nearest")
        return self.output(self.lateral(finer) + upsampled)


class MapEncoder(nn.Module):
    """Transformer encoder over one map (`TransformerEncoderPixelDecoder`).

    Args:
        input_dim: Number of channels of the map.
        dim: Number of channels of the encoder.
        layers: Encoder layers.
    """

    def __init__(self, *, input_dim: int, dim: int, layers: Sequence[DetrEncoderLayer]) -> None:
        super().__init__()
        self.input_proj = nn.Conv2d(input_dim, dim, 1)
        self.layers = nn.ModuleList(layers)
        initialize_convolutions(self.input_proj)

    def forward(self, feature: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c h w"]:
        """Apply the encoder to the cells of a map."""
        return self.encode(self.input_proj(feature))

    def encode(self, projected: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Apply the layers to the cells of a projected map."""
        size = (projected.shape[-2], projected.shape[-1])
        memory = projected.flatten(2).transpose(1, 2)
        (positions,) = level_positions([size], memory.shape[-1], memory, local=False)
        for layer in self.layers:
            memory = layer(memory, positions)
        return memory.transpose(1, 2).unflatten(-1, size)


class DetrPixelDecoder(nn.Module):
    """Encoder of the coarsest map; returns the others as they are (Carion et al. 2020, 3.2)."""

    def __init__(self, encoder: MapEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: tuple[Tensor, ...]) -> EncodedMaps:
        """Encode the last of the backbone's maps."""
        *finer, coarse = features
        projected = self.encoder.input_proj(coarse)
        return EncodedMaps(projected, self.encoder.encode(projected), tuple(finer[::-1]))


class FPNPixelDecoder(nn.Module):
    """Feature pyramid from coarse to fine, whose finest map yields the mask features.

    Args:
        input_channels: Number of channels of the backbone's maps, fine to coarse.
        dim: Number of channels of the pyramid.
        mask_dim: Number of channels of the mask features.
        steps: Steps that add the backbone's maps at strides 16, 8 and 4, in that order.
        encoder: Transformer encoder of the map at stride 32, or None.
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
        initialize_convolutions(self.stem)
        initialize_convolutions(self.mask_features)

    def forward(self, features: tuple[Tensor, ...]) -> PixelDecoderOutput:
        """Compute the mask features, the pyramid's coarser maps, and its base map."""
        *finer, coarse = features
        if self.encoder is not None:
            coarse = self.encoder(coarse)
        pyramid = [self.stem(coarse)]
        for step, feature in zip(self.steps, reversed(finer), strict=True):
            pyramid.append(step(feature, pyramid[-1]))
        *maps, finest = pyramid
        return PixelDecoderOutput(MaskFeatures(self.mask_features(finest)), tuple(maps), coarse)
