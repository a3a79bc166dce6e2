"""Configuration of architectures, pre-processing and post-processing, as frozen dataclasses.

Importing this package does not import torch, so reading a configuration is fast.
"""

from unimask.config.backbones import (
    BackboneConfig,
    ConvNeXtConfig,
    DiNATConfig,
    EfficientNetLiteConfig,
    ResNetConfig,
    SwinConfig,
    TimmConfig,
    ViTConfig,
)
from unimask.config.losses import (
    BoxCriterionConfig,
    CriterionConfig,
    DenseCriterionConfig,
    LossConfig,
)
from unimask.config.pixel_decoders import (
    DeformablePixelDecoderConfig,
    DetrPixelDecoderConfig,
    FaPNPixelDecoderConfig,
    FPNPixelDecoderConfig,
    MapEncoderConfig,
    NoPixelDecoderConfig,
    PixelDecoderConfig,
    PyramidConfig,
)
from unimask.config.processing import (
    PostprocessingConfig,
    Preprocessing,
    PreprocessingConfig,
    Window,
)
from unimask.config.segmenter import (
    SegmenterConfig,
)
from unimask.config.transformer_decoders import (
    JointDecoderConfig,
    MaskedDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    StandardDecoderConfig,
    TaskQueriesConfig,
    TextConfig,
    TransformerDecoderConfig,
)

__all__ = [
    "BackboneConfig",
    "BoxCriterionConfig",
    "ConvNeXtConfig",
    "CriterionConfig",
    "DeformablePixelDecoderConfig",
    "DenseCriterionConfig",
    "DetrPixelDecoderConfig",
    "DiNATConfig",
    "EfficientNetLiteConfig",
    "FPNPixelDecoderConfig",
    "FaPNPixelDecoderConfig",
    "JointDecoderConfig",
    "LossConfig",
    "MapEncoderConfig",
    "MaskedDecoderConfig",
    "NoPixelDecoderConfig",
    "PerPixelConfig",
    "PerPixelPlusConfig",
    "PixelDecoderConfig",
    "PostprocessingConfig",
    "Preprocessing",
    "PreprocessingConfig",
    "PyramidConfig",
    "ResNetConfig",
    "SegmenterConfig",
    "StandardDecoderConfig",
    "SwinConfig",
    "TaskQueriesConfig",
    "TextConfig",
    "TimmConfig",
    "TransformerDecoderConfig",
    "ViTConfig",
    "Window",
]
