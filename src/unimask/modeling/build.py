"""Configuration to module: the only place that knows both."""

from dataclasses import fields

from torch import nn

from unimask.config import (
    BackboneConfig,
    ConvNeXtConfig,
    DeformablePixelDecoderConfig,
    DiNATConfig,
    MaskedDecoderConfig,
    ResNetConfig,
    SegmenterConfig,
    SwinConfig,
)
from unimask.modeling.backbones import ConvNeXt, DiNAT, ResNet, Swin
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.pixel_decoders import DeformableEncoderLayer, DeformablePixelDecoder
from unimask.modeling.segmenter import Segmenter
from unimask.modeling.transformer_decoders import (
    MaskedAttentionDecoder,
    MaskedDecoderLayer,
    Proposals,
)

BACKBONES: dict[type, type[nn.Module]] = {
    SwinConfig: Swin,
    ResNetConfig: ResNet,
    ConvNeXtConfig: ConvNeXt,
    DiNATConfig: DiNAT,
}


def arguments(config: BackboneConfig) -> dict[str, object]:
    """Give the config's fields as constructor arguments; `kind` only names the class."""
    return {f.name: getattr(config, f.name) for f in fields(config) if f.name != "kind"}


def build_backbone(config: BackboneConfig) -> nn.Module:
    """Build the backbone that `config` describes; its weights are random."""
    return BACKBONES[type(config)](**arguments(config))


def build_pixel_decoder(
    config: DeformablePixelDecoderConfig, input_channels: tuple[int, ...]
) -> DeformablePixelDecoder:
    """Build the pixel decoder for a backbone's maps."""
    layers = [
        DeformableEncoderLayer(
            dim=config.dim,
            num_levels=DeformablePixelDecoder.num_levels,
            num_heads=config.num_heads,
            num_points=config.num_points,
            ffn_dim=config.ffn_dim,
            dropout=config.dropout,
        )
        for _ in range(config.num_layers)
    ]
    return DeformablePixelDecoder(
        input_channels=input_channels,
        dim=config.dim,
        mask_dim=config.mask_dim,
        layers=layers,
        local_positions=config.local_positions,
    )


def build_transformer_decoder(
    config: MaskedDecoderConfig, head: MaskHead, input_dim: int
) -> MaskedAttentionDecoder:
    """Build the decoder for maps of `input_dim` channels."""
    layers = [
        MaskedDecoderLayer(
            dim=config.dim,
            num_heads=config.num_heads,
            ffn_dim=config.ffn_dim,
            dropout=config.dropout,
        )
        for _ in range(config.num_layers)
    ]
    proposals = None
    if config.proposals:
        proposals = Proposals(dim=config.dim, share=config.proposals, most=config.max_proposals)
    return MaskedAttentionDecoder(
        input_dim=input_dim,
        dim=config.dim,
        num_queries=config.num_queries,
        layers=layers,
        head=head,
        proposals=proposals,
        local_positions=config.local_positions,
    )


def build_segmenter(config: SegmenterConfig) -> Segmenter:
    """Build the network that `config` describes; its weights are random."""
    backbone = build_backbone(config.backbone)
    pixels, queries = config.pixel_decoder, config.transformer_decoder
    head = MaskHead(
        dim=queries.dim,
        mask_dim=pixels.mask_dim,
        num_classes=config.num_classes,
        anchored=queries.proposals > 0,
    )
    return Segmenter(
        backbone=backbone,
        pixel_decoder=build_pixel_decoder(pixels, backbone.channels),  # type: ignore[arg-type]
        transformer_decoder=build_transformer_decoder(queries, head, pixels.dim),
    )
