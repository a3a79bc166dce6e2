"""Configuration to module: the only place that knows both."""

from dataclasses import fields

from torch import nn

from unimask.config import (
    BackboneConfig,
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    ResNetConfig,
    SegmenterConfig,
    SwinConfig,
)
from unimask.modeling.backbones import ResNet, Swin
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.pixel_decoders import DeformablePixelDecoder
from unimask.modeling.segmenter import Segmenter
from unimask.modeling.transformer_decoders import MaskedAttentionDecoder

BACKBONES: dict[type, type[nn.Module]] = {SwinConfig: Swin, ResNetConfig: ResNet}

PartConfig = BackboneConfig | DeformablePixelDecoderConfig | MaskedDecoderConfig


def arguments(config: PartConfig) -> dict[str, object]:
    """Give the config's fields as constructor arguments; `kind` only names the class."""
    return {f.name: getattr(config, f.name) for f in fields(config) if f.name != "kind"}


def build_backbone(config: BackboneConfig) -> nn.Module:
    """Build the backbone that `config` describes; its weights are random."""
    return BACKBONES[type(config)](**arguments(config))


def build_segmenter(config: SegmenterConfig) -> Segmenter:
    """Build the network that `config` describes; its weights are random."""
    backbone = build_backbone(config.backbone)
    pixel_decoder = DeformablePixelDecoder(
        input_channels=backbone.channels,  # type: ignore[arg-type]
        **arguments(config.pixel_decoder),  # type: ignore[arg-type]
    )
    head = MaskHead(
        dim=config.transformer_decoder.dim,
        mask_dim=config.pixel_decoder.mask_dim,
        num_classes=config.num_classes,
        anchored=config.transformer_decoder.proposals > 0,
    )
    transformer_decoder = MaskedAttentionDecoder(
        input_dim=config.pixel_decoder.dim,
        head=head,
        **arguments(config.transformer_decoder),  # type: ignore[arg-type]
    )
    return Segmenter(
        backbone=backbone, pixel_decoder=pixel_decoder, transformer_decoder=transformer_decoder
    )
