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
    TextConfig,
)
from unimask.modeling.backbones import ConvNeXt, DiNAT, ResNet, Swin
from unimask.modeling.layers.detr import DetrDecoderLayer
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.layers.mlp import MLP
from unimask.modeling.pixel_decoders import DeformableEncoderLayer, DeformablePixelDecoder
from unimask.modeling.segmenter import Segmenter
from unimask.modeling.task_encoder import TaskEncoder
from unimask.modeling.text_encoder import TextEncoder, TextLayer, TextMapper
from unimask.modeling.transformer_decoders import (
    LearnedQueries,
    MaskedAttentionDecoder,
    MaskedDecoderLayer,
    Proposals,
    TaskQueries,
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


def build_queries(config: MaskedDecoderConfig, mask_dim: int) -> LearnedQueries | TaskQueries:
    """Build the source of the queries."""
    task = config.task_queries
    if task is None:
        proposals = None
        if config.proposals:
            proposals = Proposals(dim=config.dim, share=config.proposals, most=config.max_proposals)
        return LearnedQueries(num_queries=config.num_queries, dim=config.dim, proposals=proposals)
    layers = [
        DetrDecoderLayer(
            dim=config.dim,
            num_heads=config.num_heads,
            ffn_dim=config.ffn_dim,
            dropout=task.dropout,
        )
        for _ in range(task.num_layers)
    ]
    return TaskQueries(
        num_queries=config.num_queries,
        dim=config.dim,
        mask_dim=mask_dim,
        layers=layers,
        task_norm=task.task_norm,
    )


def build_transformer_decoder(
    config: MaskedDecoderConfig, head: MaskHead, input_dim: int, mask_dim: int
) -> MaskedAttentionDecoder:
    """Build the decoder for maps of `input_dim` channels and mask features of `mask_dim`."""
    layers = [
        MaskedDecoderLayer(
            dim=config.dim,
            num_heads=config.num_heads,
            ffn_dim=config.ffn_dim,
            dropout=config.dropout,
        )
        for _ in range(config.num_layers)
    ]
    return MaskedAttentionDecoder(
        input_dim=input_dim,
        dim=config.dim,
        queries=build_queries(config, mask_dim),
        layers=layers,
        head=head,
        local_positions=config.local_positions,
    )


def build_text_mapper(config: TextConfig, dim: int) -> TextMapper:
    """Build the text branch for queries of width `dim`; 64 channels make a head, as in CLIP."""
    layers = [
        TextLayer(dim=config.dim, num_heads=max(1, config.dim // 64), depth=config.num_layers)
        for _ in range(config.num_layers)
    ]
    encoder = TextEncoder(
        vocabulary=config.vocabulary, length=config.length, dim=config.dim, layers=layers
    )
    projector = MLP(config.dim, dim, dim, num_layers=config.projector_layers)
    return TextMapper(encoder=encoder, projector=projector, context=config.context, dim=dim)


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
    task = queries.task_queries
    return Segmenter(
        backbone=backbone,
        pixel_decoder=build_pixel_decoder(pixels, backbone.channels),  # type: ignore[arg-type]
        transformer_decoder=build_transformer_decoder(queries, head, pixels.dim, pixels.mask_dim),
        task_encoder=TaskEncoder(length=task.task_length, dim=queries.dim) if task else None,
        text_mapper=build_text_mapper(config.text, queries.dim) if config.text else None,
    )
