"""DETR for panoptic segmentation, one function per architecture."""

from collections.abc import Callable
from dataclasses import replace

from unimask.config import (
    DetrPixelDecoderConfig,
    ResNetConfig,
    SegmenterConfig,
    StandardDecoderConfig,
)
from unimask.presets.parts import BACKBONES

COCO_IDS = 250
"""Number of classes of the published networks: an upper bound of COCO's category ids."""


def detr_resnet50(num_classes: int = COCO_IDS) -> SegmenterConfig:
    """Return DETR with ResNet-50, 100 queries, and 6 layers each in encoder and decoder."""
    return SegmenterConfig(
        backbone=ResNetConfig(),
        pixel_decoder=DetrPixelDecoderConfig(),
        transformer_decoder=StandardDecoderConfig(),
        num_classes=num_classes,
    )


def detr_resnet50_dc5(num_classes: int = COCO_IDS) -> SegmenterConfig:
    """Return DETR-DC5 with ResNet-50, whose encoder reads a map of twice the resolution."""
    return replace(detr_resnet50(num_classes), backbone=dilate_last_stage(ResNetConfig()))


def detr_resnet101(num_classes: int = COCO_IDS) -> SegmenterConfig:
    """Return DETR with ResNet-101."""
    return replace(detr_resnet50(num_classes), backbone=BACKBONES["resnet101"])


def dilate_last_stage(backbone: ResNetConfig) -> ResNetConfig:
    """Return a ResNet whose last stage is dilated from its second block on, at a stride of 16."""
    return replace(backbone, last_stride=1, last_dilations=(1, 2, 2))


DETR_PRESETS: dict[str, Callable[[int], SegmenterConfig]] = {
    "detr-resnet50": detr_resnet50,
    "detr-resnet50-dc5": detr_resnet50_dc5,
    "detr-resnet101": detr_resnet101,
}
