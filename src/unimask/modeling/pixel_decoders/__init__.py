"""Features to mask features and a few maps for the transformer decoder."""

from unimask.modeling.pixel_decoders.deformable import (
    DeformablePixelDecoder,
    PixelDecoderOutput,
)

__all__ = ["DeformablePixelDecoder", "PixelDecoderOutput"]
