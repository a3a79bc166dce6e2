"""Pixel decoders: from backbone features to mask features and maps for the transformer decoder."""

from unimask.modeling.pixel_decoders.deformable import (
    DeformableEncoderLayer,
    DeformablePixelDecoder,
)
from unimask.modeling.pixel_decoders.fapn import AlignedStep
from unimask.modeling.pixel_decoders.fpn import (
    DetrPixelDecoder,
    FPNPixelDecoder,
    MapEncoder,
    PyramidStep,
)
from unimask.modeling.pixel_decoders.output import PixelDecoderOutput

__all__ = [
    "AlignedStep",
    "DeformableEncoderLayer",
    "DeformablePixelDecoder",
    "DetrPixelDecoder",
    "FPNPixelDecoder",
    "MapEncoder",
    "PixelDecoderOutput",
    "PyramidStep",
]
