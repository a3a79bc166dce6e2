"""Build networks from configurations: the only module that knows both."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import TypeVar

import torch.nn.functional as F
from torch import nn

from unimask.config import (
    BackboneConfig,
    ConvNeXtConfig,
    DeformablePixelDecoderConfig,
    DetrPixelDecoderConfig,
    DiNATConfig,
    EfficientNetLiteConfig,
    FaPNPixelDecoderConfig,
    FPNPixelDecoderConfig,
    JointDecoderConfig,
    MapEncoderConfig,
    MaskedDecoderConfig,
    NoPixelDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    PyramidConfig,
    ResNetConfig,
    SegmenterConfig,
    StandardDecoderConfig,
    SwinConfig,
    TextConfig,
    TimmConfig,
    ViTConfig,
)
from unimask.modeling.backbones import ConvNeXt, DiNAT, EfficientNetLite, ResNet, Swin, Timm, ViT
from unimask.modeling.layers.detr import DetrDecoderLayer, DetrEncoderLayer
from unimask.modeling.layers.detr_head import DetrHead
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.layers.mlp import MLP
from unimask.modeling.layers.vit_block import ViTBlock
from unimask.modeling.pixel_decoders import (
    AlignedStep,
    DeformableEncoderLayer,
    DeformablePixelDecoder,
    DetrPixelDecoder,
    FPNPixelDecoder,
    MapEncoder,
    PyramidStep,
)
from unimask.modeling.segmenter import Segmenter
from unimask.modeling.task_encoder import TaskEncoder
from unimask.modeling.text_encoder import TextEncoder, TextLayer, TextMapper
from unimask.modeling.transformer_decoders import (
    JointDecoder,
    LearnedQueries,
    MaskedAttentionDecoder,
    MaskedDecoderLayer,
    PerClassHead,
    PerPixelHead,
    Proposals,
    StandardDecoder,
    TaskQueries,
    UpscaleBlock,
)

BACKBONES: dict[type, type[nn.Module]] = {
    SwinConfig: Swin,
    ResNetConfig: ResNet,
    ConvNeXtConfig: ConvNeXt,
    DiNATConfig: DiNAT,
    EfficientNetLiteConfig: EfficientNetLite,
    TimmConfig: Timm,
}


def arguments(config: BackboneConfig) -> dict[str, object]:
    """Return the config's fields as constructor arguments; `kind` only names the class."""
    names = {f.name for f in fields(config)} - {"kind", "last_stride"}
    return {name: getattr(config, name) for name in names}


def build_backbone(config: BackboneConfig) -> nn.Module:
    """Build the backbone that `config` describes; its weights are random."""
    if isinstance(config, ViTConfig):
        return build_vit(config)
    backbone = BACKBONES[type(config)](**arguments(config))
    if isinstance(backbone, ResNet) and isinstance(config, ResNetConfig):
        backbone.set_last_stride(config.last_stride)
    return backbone


def build_vit(config: ViTConfig) -> ViT:
    """Build a vision transformer without the blocks of the transformer decoder."""
    rotary = (config.dim // config.num_heads, config.rotary_base, config.rotary_rescale)
    return ViT(
        dim=config.dim,
        blocks=build_vit_blocks(config, config.depth),
        patch_size=config.patch_size,
        num_registers=config.num_registers,
        side=config.image_size // config.patch_size,
        rotary=rotary if config.positions == "rotary" else None,
        in_channels=config.in_channels,
    )


def build_vit_blocks(config: ViTConfig, count: int) -> list[ViTBlock]:
    """Build `count` blocks of a vision transformer."""
    names = ("dim", "num_heads", "ffn", "ffn_dim")
    names += ("key_bias", "layer_scale", "norm_eps", "drop_path")
    return [ViTBlock(**{name: getattr(config, name) for name in names}) for _ in range(count)]


Layer = TypeVar("Layer", bound=nn.Module)
Head = MaskHead | PerClassHead | DetrHead
Decoder = MaskedDecoderConfig | StandardDecoderConfig | PerPixelPlusConfig
Layered = DeformablePixelDecoderConfig | MapEncoderConfig | Decoder


def build_layers(kind: Callable[..., Layer], config: Layered, dim: int) -> list[Layer]:
    """Build the layers of a transformer, each with its own weights."""
    return [
        kind(dim=dim, num_heads=config.num_heads, ffn_dim=config.ffn_dim, dropout=config.dropout)
        for _ in range(config.num_layers)
    ]


PixelDecoder = DeformablePixelDecoder | FPNPixelDecoder


def build_pixel_decoder(config: PyramidConfig, input_channels: tuple[int, ...]) -> PixelDecoder:
    """Build the pixel decoder for a backbone's maps."""
    if isinstance(config, DeformablePixelDecoderConfig):
        return build_deformable(config, input_channels)
    return build_fpn(config, input_channels)


def build_deformable(
    config: DeformablePixelDecoderConfig, input_channels: tuple[int, ...]
) -> DeformablePixelDecoder:
    """Build the deformable pixel decoder."""
    points = {"num_levels": DeformablePixelDecoder.num_levels, "num_points": config.num_points}
    layers = build_layers(partial(DeformableEncoderLayer, **points), config, config.dim)
    return DeformablePixelDecoder(
        input_channels=input_channels,
        dim=config.dim,
        mask_dim=config.mask_dim,
        layers=layers,
        local_positions=config.local_positions,
    )


def build_fpn(
    config: FPNPixelDecoderConfig | FaPNPixelDecoderConfig, input_channels: tuple[int, ...]
) -> FPNPixelDecoder:
    """Build the feature pyramid on the backbone's maps."""
    *finer, coarsest = input_channels
    encoder = (
        None if config.encoder is None else build_map_encoder(config.encoder, coarsest, config.dim)
    )
    steps = [build_step(config, channels) for channels in reversed(finer)]
    return FPNPixelDecoder(
        input_channels=input_channels,
        dim=config.dim,
        mask_dim=config.mask_dim,
        steps=steps,
        encoder=encoder,
    )


def build_step(
    config: FPNPixelDecoderConfig | FaPNPixelDecoderConfig, input_dim: int
) -> PyramidStep | AlignedStep:
    """Build the step that adds a finer map of the backbone to the pyramid."""
    if isinstance(config, FaPNPixelDecoderConfig):
        return AlignedStep(input_dim=input_dim, dim=config.dim, num_groups=config.num_groups)
    return PyramidStep(input_dim=input_dim, dim=config.dim)


def build_map_encoder(config: MapEncoderConfig, input_dim: int, dim: int) -> MapEncoder:
    """Build the encoder of the coarsest map."""
    layers = build_layers(DetrEncoderLayer, config, dim)
    return MapEncoder(input_dim=input_dim, dim=dim, layers=layers)


def build_queries(config: MaskedDecoderConfig, mask_dim: int) -> LearnedQueries | TaskQueries:
    """Build the source of the queries."""
    task = config.task_queries
    if task is None:
        proposals = None
        if config.proposals:
            proposals = Proposals(
                dim=config.dim, ratio=config.proposals, max_queries=config.max_proposals
            )
        return LearnedQueries(num_queries=config.num_queries, dim=config.dim, proposals=proposals)
    transformer = replace(config, num_layers=task.num_layers, dropout=task.dropout)
    return TaskQueries(
        num_queries=config.num_queries,
        dim=config.dim,
        mask_dim=mask_dim,
        layers=build_layers(DetrDecoderLayer, transformer, config.dim),
        task_norm=task.task_norm,
    )


def build_head(
    config: MaskedDecoderConfig | StandardDecoderConfig, mask_dim: int, num_classes: int
) -> MaskHead:
    """Build the prediction head of a decoder."""
    anchored = isinstance(config, MaskedDecoderConfig) and config.proposals > 0
    return MaskHead(dim=config.dim, mask_dim=mask_dim, num_classes=num_classes, anchored=anchored)


def build_standard_decoder(
    config: StandardDecoderConfig | PerPixelPlusConfig, head: Head, coarse_dim: int, queries: int
) -> StandardDecoder:
    """Build MaskFormer's decoder with `queries` queries over a map of `coarse_dim` channels."""
    return StandardDecoder(
        input_dim=coarse_dim,
        dim=config.dim,
        num_queries=queries,
        layers=build_layers(DetrDecoderLayer, config, config.dim),
        head=head,
    )


def build_per_pixel(
    queries: PerPixelConfig | PerPixelPlusConfig, mask_dim: int, classes: int, coarse_dim: int
) -> PerPixelHead | StandardDecoder:
    """Build a per-pixel baseline: a linear classifier, or one with weights from queries."""
    if isinstance(queries, PerPixelConfig):
        return PerPixelHead(mask_dim=mask_dim, num_classes=classes)
    head = PerClassHead(dim=queries.dim, mask_dim=mask_dim)
    return build_standard_decoder(queries, head, coarse_dim, classes)


def build_masked_decoder(
    config: MaskedDecoderConfig, head: MaskHead, pixels: PyramidConfig
) -> MaskedAttentionDecoder:
    """Build the masked-attention decoder."""
    layers = build_layers(MaskedDecoderLayer, config, config.dim)
    return MaskedAttentionDecoder(
        input_dim=pixels.dim,
        dim=config.dim,
        queries=build_queries(config, pixels.mask_dim),
        layers=layers,
        head=head,
        enforce_input_proj=config.enforce_input_proj,
        local_positions=config.local_positions,
        clips=config.clips,
    )


def build_joint(config: SegmenterConfig) -> JointDecoder:
    """Build the blocks of a ViT that process queries and patches together.

    Raises:
        ValueError: The parts do not fit each other.
    """
    vit, queries = config.backbone, config.transformer_decoder
    if (
        not isinstance(vit, ViTConfig)
        or not isinstance(queries, JointDecoderConfig)
        or not isinstance(config.pixel_decoder, NoPixelDecoderConfig)
    ):
        raise ValueError("a ViT, no pixel decoder and a joint decoder belong together")
    doublings = vit.patch_size.bit_length() - 3  # to stride 4
    dim, classes, eps = vit.dim, config.num_classes, vit.norm_eps
    return JointDecoder(
        dim=dim,
        num_queries=queries.num_queries,
        blocks=build_vit_blocks(vit, queries.num_layers),
        head=MaskHead(dim=dim, mask_dim=dim, num_classes=classes, activation=F.gelu, norm_eps=eps),
        upscale=nn.Sequential(*(UpscaleBlock(dim) for _ in range(doublings))),
        mask_probs=queries.mask_probs or (0.0,) * queries.num_layers,
    )


def build_detr(
    config: SegmenterConfig, channels: tuple[int, ...]
) -> tuple[DetrPixelDecoder, StandardDecoder]:
    """Build DETR's encoder and decoder on a backbone with maps of these channels.

    Raises:
        ValueError: The parts do not fit each other.
    """
    pixels, queries = config.pixel_decoder, config.transformer_decoder
    if (
        not isinstance(pixels, DetrPixelDecoderConfig)
        or not isinstance(queries, StandardDecoderConfig)
        or pixels.dim != queries.dim
    ):
        raise ValueError("DETR's encoder and a standard decoder of equal width belong together")
    dim, heads, classes = pixels.dim, pixels.encoder.num_heads, config.num_classes
    head = DetrHead(dim=dim, num_heads=heads, num_classes=classes, channels=channels[-2::-1])
    encoder = DetrPixelDecoder(build_map_encoder(pixels.encoder, channels[-1], dim))
    return encoder, build_standard_decoder(queries, head, dim, queries.num_queries)


def build_text_mapper(config: TextConfig, dim: int) -> TextMapper:
    """Build the text branch for queries of `dim` channels, with 64 channels per head as in CLIP."""
    layers = [
        TextLayer(dim=config.dim, num_heads=max(1, config.dim // 64), depth=config.num_layers)
        for _ in range(config.num_layers)
    ]
    encoder = TextEncoder(
        vocabulary=config.vocabulary, length=config.length, dim=config.dim, layers=layers
    )
    projector = MLP(config.dim, dim, dim, num_layers=config.projector_layers)
    return TextMapper(encoder=encoder, projector=projector, context=config.context, dim=dim)


def coarse_channels(config: PyramidConfig, input_channels: tuple[int, ...]) -> int:
    """Return the number of channels of the pixel decoder's base map."""
    if isinstance(config, DeformablePixelDecoderConfig) or config.encoder is not None:
        return config.dim
    return input_channels[-1]


def build_segmenter(config: SegmenterConfig) -> Segmenter:
    """Build the network that `config` describes; its weights are random."""
    backbone = build_backbone(config.backbone)
    channels: tuple[int, ...] = backbone.channels  # type: ignore[assignment]
    assemble = partial(Segmenter, backbone=backbone)
    pixels, queries = config.pixel_decoder, config.transformer_decoder
    if isinstance(queries, JointDecoderConfig) or isinstance(pixels, NoPixelDecoderConfig):
        return assemble(pixel_decoder=nn.Identity(), transformer_decoder=build_joint(config))
    if isinstance(pixels, DetrPixelDecoderConfig):
        pixel_decoder, decoder = build_detr(config, channels)
        return assemble(pixel_decoder=pixel_decoder, transformer_decoder=decoder)
    coarse = coarse_channels(pixels, channels)
    if isinstance(queries, PerPixelConfig | PerPixelPlusConfig):
        pixel_decoder = build_pixel_decoder(pixels, channels)
        decoder = build_per_pixel(queries, pixels.mask_dim, config.num_classes, coarse)
        return assemble(pixel_decoder=pixel_decoder, transformer_decoder=decoder)
    # The order in which parts are built determines their random weights for a seed.
    head = build_head(queries, pixels.mask_dim, config.num_classes)
    pixel_decoder = build_pixel_decoder(pixels, channels)
    if isinstance(queries, StandardDecoderConfig):
        decoder = build_standard_decoder(queries, head, coarse, queries.num_queries)
        return assemble(pixel_decoder=pixel_decoder, transformer_decoder=decoder)
    task = queries.task_queries
    return assemble(
        pixel_decoder=pixel_decoder,
        transformer_decoder=build_masked_decoder(queries, head, pixels),
        task_encoder=TaskEncoder(length=task.task_length, dim=queries.dim) if task else None,
        text_mapper=build_text_mapper(config.text, queries.dim) if config.text else None,
    )
