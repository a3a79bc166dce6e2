"""DETR's files of its authors: tensor names, and the configuration from shapes.

Every published network has 8 heads. DC5's dilation, which no tensor shows, follows from the name of
the file.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.backbone_shapes import count_modules, infer_backbone, tensor_shape
from unimask.checkpoints.huggingface.detr_names import MASK_HEAD
from unimask.checkpoints.imagenet.names import TORCHVISION
from unimask.checkpoints.keymap import Rules, to_theirs
from unimask.config import (
    DetrPixelDecoderConfig,
    MapEncoderConfig,
    ResNetConfig,
    SegmenterConfig,
    StandardDecoderConfig,
)
from unimask.errors import CheckpointError
from unimask.presets.detr import dilate_last_stage

QUERIES, CLASSES = "detr.query_embed.weight", "detr.class_embed.weight"
BACKBONE, TRANSFORMER = "detr.backbone.0.body", "detr.transformer"
OUR_ENCODER, OUR_DECODER = "pixel_decoder.encoder", "transformer_decoder"

NUM_HEADS = 8

RESNET: Rules = tuple(
    (ours, f"{BACKBONE}.{theirs}") for ours, theirs in TORCHVISION if isinstance(theirs, str)
)

NAMES: Rules = (
    *RESNET,
    (f"{OUR_ENCODER}.input_proj.**", "detr.input_proj.**"),
    (f"{OUR_ENCODER}.layers.**", f"{TRANSFORMER}.encoder.layers.**"),
    (f"{OUR_DECODER}.query_positions.weight", QUERIES),
    (
        f"{OUR_DECODER}.layers.*.cross_attn.**",
        f"{TRANSFORMER}.decoder.layers.*.multihead_attn.**",
    ),
    (f"{OUR_DECODER}.layers.**", f"{TRANSFORMER}.decoder.layers.**"),
    (f"{OUR_DECODER}.head.norm.**", f"{TRANSFORMER}.decoder.norm.**"),
    (f"{OUR_DECODER}.head.class_embed.**", "detr.class_embed.**"),
    (f"{OUR_DECODER}.head.box_embed.**", "detr.bbox_embed.**"),
    *MASK_HEAD,
)


def is_detr(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether tensors have the names of DETR's authors."""
    return QUERIES in tensors and "mask_head.out_lay.weight" in tensors


def infer_detr(tensors: Mapping[str, Tensor], path: Path) -> SegmenterConfig:
    """Derive the configuration of a DETR from tensors under its authors' names.

    Args:
        tensors: Tensors by name.
        path: File of the weights; "dc5" in its name means a dilated last stage.

    Raises:
        CheckpointError: A tensor is missing, or its shape fits no such network.
    """
    swapped = [(theirs, ours) for ours, theirs in RESNET if isinstance(theirs, str)]
    backbone = infer_backbone(to_theirs(tensors, [*swapped, ("**", "**")]), path)
    if not isinstance(backbone, ResNetConfig):
        raise CheckpointError(f"a DETR has a ResNet, not a {backbone.kind}")
    if "dc5" in path.name.lower():
        backbone = dilate_last_stage(backbone)
    num_queries, dim = tensor_shape(tensors, QUERIES, 2)
    encoder, decoder = f"{TRANSFORMER}.encoder.layers", f"{TRANSFORMER}.decoder.layers"
    return SegmenterConfig(
        backbone=backbone,
        pixel_decoder=DetrPixelDecoderConfig(
            dim=dim,
            encoder=MapEncoderConfig(
                num_layers=count_modules(tensors, encoder),
                num_heads=NUM_HEADS,
                ffn_dim=tensor_shape(tensors, f"{encoder}.0.linear1.weight", 2)[0],
            ),
        ),
        transformer_decoder=StandardDecoderConfig(
            dim=dim,
            num_queries=num_queries,
            num_layers=count_modules(tensors, decoder),
            num_heads=NUM_HEADS,
            ffn_dim=tensor_shape(tensors, f"{decoder}.0.linear1.weight", 2)[0],
        ),
        num_classes=tensor_shape(tensors, CLASSES, 2)[0] - 1,
    )
