"""Features to mask features and a few maps for the transformer decoder."""

from unimask.modeling.pixel_decoders.deformable import (
    DeformableEncoderLayer,
    DeformablePixelDecoder,
    PixelDecoderOutput,
)

__all__ = ["DeformableEncoderLayer", "DeformablePixelDecoder", "PixelDecoderOutput"]
