"""Configuration to module: the only place that knows both."""

from dataclasses import fields

from torch import nn

from unimask.config import (
    BackboneConfig,
    DeformablePixelDecoderConfig,
    FPNPixelDecoderConfig,
    MapEncoderConfig,
    MaskedDecoderConfig,
    PixelDecoderConfig,
    ResNetConfig,
    SegmenterConfig,
    SwinConfig,
    TextConfig,
    TransformerDecoderConfig,
)
from unimask.modeling.backbones import ResNet, Swin
from unimask.modeling.layers.detr import DetrDecoderLayer, DetrEncoderLayer
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.layers.mlp import MLP
from unimask.modeling.pixel_decoders import (
    DeformableEncoderLayer,
    DeformablePixelDecoder,
    FPNPixelDecoder,
    MapEncoder,
    PyramidStep,
)
from unimask.modeling.segmenter import Segmenter
from unimask.modeling.task_encoder import TaskEncoder
from unimask.modeling.text_encoder import TextEncoder, TextLayer, TextMapper
from unimask.modeling.transformer_decoders import (
    LearnedQueries,
    MaskedAttentionDecoder,
    MaskedDecoderLayer,
    Proposals,
    StandardDecoder,
    TaskQueries,
)

BACKBONES: dict[type, type[nn.Module]] = {SwinConfig: Swin, ResNetConfig: ResNet}


def arguments(config: BackboneConfig) -> dict[str, object]:
    """Give the config's fields as constructor arguments; `kind` only names the class."""
    return {f.name: getattr(config, f.name) for f in fields(config) if f.name != "kind"}


def build_backbone(config: BackboneConfig) -> nn.Module:
    """Build the backbone that `config` describes; its weights are random."""
    return BACKBONES[type(config)](**arguments(config))


PixelDecoder = DeformablePixelDecoder | FPNPixelDecoder


def build_pixel_decoder(
    config: PixelDecoderConfig, input_channels: tuple[int, ...]
) -> PixelDecoder:
    """Build the pixel decoder for a backbone's maps."""
    if isinstance(config, DeformablePixelDecoderConfig):
        return build_deformable(config, input_channels)
    return build_fpn(config, input_channels)


def build_deformable(
    config: DeformablePixelDecoderConfig, input_channels: tuple[int, ...]
) -> DeformablePixelDecoder:
    """Build the deformable pixel decoder."""
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


def build_fpn(config: FPNPixelDecoderConfig, input_channels: tuple[int, ...]) -> FPNPixelDecoder:
    """Build a pyramid on the backbone's maps."""
    *finer, coarsest = input_channels
    encoder = (
        None if config.encoder is None else build_map_encoder(config.encoder, coarsest, config.dim)
    )
    steps = [PyramidStep(input_dim=channels, dim=config.dim) for channels in reversed(finer)]
    return FPNPixelDecoder(
        input_channels=input_channels,
        dim=config.dim,
        mask_dim=config.mask_dim,
        steps=steps,
        encoder=encoder,
    )


def build_map_encoder(config: MapEncoderConfig, input_dim: int, dim: int) -> MapEncoder:
    """Build the encoder of the coarsest map."""
    layers = [
        DetrEncoderLayer(
            dim=dim,
            num_heads=config.num_heads,
            ffn_dim=config.ffn_dim,
            dropout=config.dropout,
        )
        for _ in range(config.num_layers)
    ]
    return MapEncoder(input_dim=input_dim, dim=dim, layers=layers)


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


TransformerDecoder = MaskedAttentionDecoder | StandardDecoder


def build_transformer_decoder(
    config: TransformerDecoderConfig, head: MaskHead, pixels: PixelDecoderConfig, coarse_dim: int
) -> TransformerDecoder:
    """Build the decoder beside a pixel decoder, whose coarsest map has `coarse_dim` channels."""
    if isinstance(config, MaskedDecoderConfig):
        return build_masked_decoder(config, head, pixels)
    layers = [
        DetrDecoderLayer(
            dim=config.dim,
            num_heads=config.num_heads,
            ffn_dim=config.ffn_dim,
            dropout=config.dropout,
        )
        for _ in range(config.num_layers)
    ]
    return StandardDecoder(
        input_dim=coarse_dim,
        dim=config.dim,
        num_queries=config.num_queries,
        layers=layers,
        head=head,
    )


def build_masked_decoder(
    config: MaskedDecoderConfig, head: MaskHead, pixels: PixelDecoderConfig
) -> MaskedAttentionDecoder:
    """Build the masked-attention decoder."""
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
        input_dim=pixels.dim,
        dim=config.dim,
        queries=build_queries(config, pixels.mask_dim),
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


def coarse_channels(config: PixelDecoderConfig, input_channels: tuple[int, ...]) -> int:
    """Give the channels of the map that the pixel decoder stands on."""
    if isinstance(config, FPNPixelDecoderConfig) and config.encoder is None:
        return input_channels[-1]
    return config.dim


def build_segmenter(config: SegmenterConfig) -> Segmenter:
    """Build the network that `config` describes; its weights are random."""
    backbone = build_backbone(config.backbone)
    channels: tuple[int, ...] = backbone.channels  # type: ignore[assignment]
    pixels, queries = config.pixel_decoder, config.transformer_decoder
    masked = queries if isinstance(queries, MaskedDecoderConfig) else None
    head = MaskHead(
        dim=queries.dim,
        mask_dim=pixels.mask_dim,
        num_classes=config.num_classes,
        anchored=masked is not None and masked.proposals > 0,
    )
    task = masked.task_queries if masked else None
    return Segmenter(
        backbone=backbone,
        pixel_decoder=build_pixel_decoder(pixels, channels),
        transformer_decoder=build_transformer_decoder(
            queries, head, pixels, coarse_channels(pixels, channels)
        ),
        task_encoder=TaskEncoder(length=task.task_length, dim=queries.dim) if task else None,
        text_mapper=build_text_mapper(config.text, queries.dim) if config.text else None,
    )
