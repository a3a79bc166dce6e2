"""One function per architecture, for any classes."""

from collections.abc import Callable
from dataclasses import replace

from unimask.config import (
    DeformablePixelDecoderConfig,
    DetrPixelDecoderConfig,
    FPNPixelDecoderConfig,
    MaskedDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    PostprocessingConfig,
    ResNetConfig,
    SegmenterConfig,
    StandardDecoderConfig,
    SwinConfig,
    TaskQueriesConfig,
    TextConfig,
)
from unimask.errors import SettingsError
from unimask.labels import TASKS, Task
from unimask.presets.detr import DETR_PRESETS
from unimask.presets.eomt import EOMT_PRESETS
from unimask.presets.parts import BACKBONES, PIXEL_DECODERS


def mask2former_resnet50(num_classes: int = 133) -> SegmenterConfig:
    """Return the paper's base model: ResNet-50, 100 queries, 9 decoder layers."""
    return SegmenterConfig(
        backbone=ResNetConfig(),
        pixel_decoder=DeformablePixelDecoderConfig(),
        transformer_decoder=MaskedDecoderConfig(),
        num_classes=num_classes,
    )


def mask2former_resnet101(num_classes: int = 133) -> SegmenterConfig:
    """Return the model with ResNet-101."""
    return replace(mask2former_resnet50(num_classes), backbone=BACKBONES["resnet101"])


def mask2former_swin_tiny(num_classes: int = 133) -> SegmenterConfig:
    """Return the model with Swin-T."""
    return replace(mask2former_resnet50(num_classes), backbone=BACKBONES["swin-tiny"])


def mask2former_swin_small(num_classes: int = 133) -> SegmenterConfig:
    """Return the model with Swin-S, which has 18 blocks in its third stage."""
    return replace(mask2former_resnet50(num_classes), backbone=BACKBONES["swin-small"])


def mask2former_swin_base(num_classes: int = 133) -> SegmenterConfig:
    """Return the model with Swin-B: 128 channels and windows of 12 tokens."""
    return replace(mask2former_resnet50(num_classes), backbone=BACKBONES["swin-base"])


def mask2former_swin_large(num_classes: int = 133) -> SegmenterConfig:
    """Return the model with Swin-L and 200 queries, the paper's for panoptic and instance."""
    return replace(
        mask2former_resnet50(num_classes),
        backbone=BACKBONES["swin-large"],
        transformer_decoder=MaskedDecoderConfig(num_queries=200),
    )


def oneformer_resnet50(num_classes: int = 133) -> SegmenterConfig:
    """Return OneFormer with ResNet-50: 150 task-conditioned queries, text encoder for training."""
    return to_oneformer(mask2former_resnet50(num_classes), num_queries=150)


def oneformer_swin_tiny(num_classes: int = 150) -> SegmenterConfig:
    """Return OneFormer with Swin-T."""
    return to_oneformer(mask2former_swin_tiny(num_classes), num_queries=150)


def oneformer_swin_large(num_classes: int = 150) -> SegmenterConfig:
    """Return OneFormer with Swin-L and 250 queries; the models for COCO have 150."""
    return to_oneformer(mask2former_swin_large(num_classes), num_queries=250)


def oneformer_convnext_large(num_classes: int = 150) -> SegmenterConfig:
    """Return OneFormer with ConvNeXt-L, whose branches start at full scale here."""
    return replace(oneformer_swin_large(num_classes), backbone=BACKBONES["convnext-large"])


def oneformer_convnext_xlarge(num_classes: int = 150) -> SegmenterConfig:
    """Return OneFormer with ConvNeXt-XL."""
    return replace(oneformer_swin_large(num_classes), backbone=BACKBONES["convnext-xlarge"])


def oneformer_dinat_large(num_classes: int = 150) -> SegmenterConfig:
    """Return OneFormer with DiNAT-L and its dilations for crops of 640 and 896 pixels."""
    return replace(oneformer_swin_large(num_classes), backbone=BACKBONES["dinat-large"])


def to_oneformer(mask2former: SegmenterConfig, num_queries: int) -> SegmenterConfig:
    """Return a Mask2Former with OneFormer's task token, its queries and its text encoder."""
    queries = replace(
        mask2former.transformer_decoder, num_queries=num_queries, task_queries=TaskQueriesConfig()
    )
    pixels = replace(mask2former.pixel_decoder, dropout=0.1)
    return replace(
        mask2former, pixel_decoder=pixels, transformer_decoder=queries, text=TextConfig()
    )


def mask2former_swin_large_fapn(num_classes: int = 150) -> SegmenterConfig:
    """Return Swin-L with FaPN as pixel decoder, the paper's best semantic model for ADE20K.

    It has 100 queries, as all semantic models of the paper.
    """
    return replace(
        mask2former_resnet50(num_classes),
        backbone=BACKBONES["swin-large"],
        pixel_decoder=PIXEL_DECODERS["fapn"],
    )


def mask2former_nano(num_classes: int = 2) -> SegmenterConfig:
    """Return a network of 4 million parameters that trains from scratch on a CPU.

    Group normalisation needs neither ImageNet statistics nor large batches. The decoder is half as
    wide and deep as the paper's; it has 200 queries for crowded images.
    """
    return SegmenterConfig(
        backbone=ResNetConfig(
            block="basic",
            stem_channels=32,
            channels=(32, 64, 128, 256),
            depths=(2, 2, 2, 2),
            norm="group",
        ),
        pixel_decoder=DeformablePixelDecoderConfig(
            dim=128, mask_dim=128, num_layers=2, ffn_dim=512
        ),
        transformer_decoder=MaskedDecoderConfig(
            dim=128, num_queries=200, num_layers=4, ffn_dim=512
        ),
        num_classes=num_classes,
    )


def mask2former_swin_nano(num_classes: int = 2) -> SegmenterConfig:
    """Return the nano model with a narrow Swin as backbone."""
    backbone = SwinConfig(embed_dim=32, num_heads=(1, 2, 4, 8), depths=(2, 2, 2, 2), drop_path=0.1)
    return replace(mask2former_nano(num_classes), backbone=backbone)


def oneformer_nano(num_classes: int = 2) -> SegmenterConfig:
    """Return the nano model as a OneFormer, text encoder included, that trains on a CPU."""
    config = to_oneformer(mask2former_nano(num_classes), num_queries=200)
    return replace(config, text=TextConfig(dim=128, num_layers=2))


def mask2former_lite0(num_classes: int = 2) -> SegmenterConfig:
    """Return the nano model on EfficientNet-Lite0, which starts from ImageNet weights."""
    return replace(mask2former_nano(num_classes), backbone=BACKBONES["efficientnet-lite0"])


def mask2former_lite2(num_classes: int = 2) -> SegmenterConfig:
    """Return the nano model on EfficientNet-Lite2, which starts from ImageNet weights."""
    return replace(mask2former_nano(num_classes), backbone=BACKBONES["efficientnet-lite2"])


def oneformer_lite0(num_classes: int = 2) -> SegmenterConfig:
    """Return OneFormer's nano model on EfficientNet-Lite0, which starts from ImageNet weights."""
    return replace(oneformer_nano(num_classes), backbone=BACKBONES["efficientnet-lite0"])


def unimask_nano(num_classes: int = 2) -> SegmenterConfig:
    """Return the nano model with queries selected from the image, in proportion to its size.

    A few learned queries remain for stuff. Position encodings use pixels, so that an image of any
    size resembles the training crops.
    """
    nano = mask2former_nano(num_classes)
    return replace(
        nano,
        pixel_decoder=replace(nano.pixel_decoder, local_positions=True),
        transformer_decoder=replace(
            nano.transformer_decoder, num_queries=16, local_positions=True, proposals=0.1
        ),
    )


def unimask_lite0(num_classes: int = 2) -> SegmenterConfig:
    """Return `unimask_nano` on EfficientNet-Lite0, which starts from ImageNet weights."""
    return replace(unimask_nano(num_classes), backbone=BACKBONES["efficientnet-lite0"])


def maskformer_resnet50(num_classes: int = 133) -> SegmenterConfig:
    """Return MaskFormer's model for COCO panoptic: ResNet-50, transformer encoder and pyramid."""
    return SegmenterConfig(
        backbone=ResNetConfig(),
        pixel_decoder=PIXEL_DECODERS["fpn-encoder"],
        transformer_decoder=StandardDecoderConfig(),
        num_classes=num_classes,
    )


def maskformer_resnet101(num_classes: int = 133) -> SegmenterConfig:
    """Return MaskFormer with ResNet-101."""
    return replace(maskformer_resnet50(num_classes), backbone=BACKBONES["resnet101"])


def maskformer_resnet101c(num_classes: int = 19) -> SegmenterConfig:
    """Return MaskFormer with ResNet-101c, as for Cityscapes, without a transformer encoder."""
    return replace(maskformer_swin_tiny(num_classes), backbone=BACKBONES["resnet101c"])


def maskformer_swin_tiny(num_classes: int = 133) -> SegmenterConfig:
    """Return MaskFormer with Swin-T, without a transformer encoder."""
    return SegmenterConfig(
        backbone=SwinConfig(),
        pixel_decoder=FPNPixelDecoderConfig(),
        transformer_decoder=StandardDecoderConfig(),
        num_classes=num_classes,
    )


def maskformer_swin_small(num_classes: int = 133) -> SegmenterConfig:
    """Return MaskFormer with Swin-S."""
    return replace(maskformer_swin_tiny(num_classes), backbone=BACKBONES["swin-small"])


def maskformer_swin_base(num_classes: int = 133) -> SegmenterConfig:
    """Return MaskFormer with Swin-B."""
    return replace(maskformer_swin_tiny(num_classes), backbone=BACKBONES["swin-base"])


def maskformer_swin_large(num_classes: int = 133) -> SegmenterConfig:
    """Return MaskFormer with Swin-L; it keeps 100 queries."""
    return replace(maskformer_swin_tiny(num_classes), backbone=BACKBONES["swin-large"])


def per_pixel_resnet50(num_classes: int = 150) -> SegmenterConfig:
    """Return MaskFormer's per-pixel baseline: a pyramid whose pixels are classified one by one."""
    return SegmenterConfig(
        backbone=ResNetConfig(),
        pixel_decoder=FPNPixelDecoderConfig(),
        transformer_decoder=PerPixelConfig(),
        num_classes=num_classes,
    )


def per_pixel_plus_resnet50(num_classes: int = 150) -> SegmenterConfig:
    """Return MaskFormer's per-pixel baseline+, whose decoder computes the classifier's weights."""
    return replace(per_pixel_resnet50(num_classes), transformer_decoder=PerPixelPlusConfig())


PRESETS: dict[str, Callable[[int], SegmenterConfig]] = {
    "mask2former-resnet50": mask2former_resnet50,
    "mask2former-resnet101": mask2former_resnet101,
    "mask2former-swin-tiny": mask2former_swin_tiny,
    "mask2former-swin-small": mask2former_swin_small,
    "mask2former-swin-base": mask2former_swin_base,
    "mask2former-swin-large": mask2former_swin_large,
    "mask2former-swin-large-fapn": mask2former_swin_large_fapn,
    "oneformer-resnet50": oneformer_resnet50,
    "oneformer-swin-tiny": oneformer_swin_tiny,
    "oneformer-swin-large": oneformer_swin_large,
    "oneformer-convnext-large": oneformer_convnext_large,
    "oneformer-convnext-xlarge": oneformer_convnext_xlarge,
    "oneformer-dinat-large": oneformer_dinat_large,
    "mask2former-nano": mask2former_nano,
    "mask2former-swin-nano": mask2former_swin_nano,
    "oneformer-nano": oneformer_nano,
    "maskformer-resnet50": maskformer_resnet50,
    "maskformer-resnet101": maskformer_resnet101,
    "maskformer-resnet101c": maskformer_resnet101c,
    "maskformer-swin-tiny": maskformer_swin_tiny,
    "maskformer-swin-small": maskformer_swin_small,
    "maskformer-swin-base": maskformer_swin_base,
    "maskformer-swin-large": maskformer_swin_large,
    "per-pixel-resnet50": per_pixel_resnet50,
    "per-pixel-plus-resnet50": per_pixel_plus_resnet50,
    "unimask-nano": unimask_nano,
    "mask2former-lite0": mask2former_lite0,
    "mask2former-lite2": mask2former_lite2,
    "oneformer-lite0": oneformer_lite0,
    "unimask-lite0": unimask_lite0,
    **EOMT_PRESETS,
    **DETR_PRESETS,
}

IMAGENET_PRESETS = ("mask2former-lite0", "mask2former-lite2", "oneformer-lite0", "unimask-lite0")
"""Presets whose training starts from ImageNet weights of the backbone, which come by pip."""


def preset(name: str, num_classes: int) -> SegmenterConfig:
    """Return the architecture called `name`.

    Raises:
        SettingsError: The name is not one of `PRESETS`.
    """
    if name not in PRESETS:
        raise SettingsError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name](num_classes)


def family_postprocessing(config: SegmenterConfig) -> PostprocessingConfig:
    """Return the authors' post-processing, for weights without their own."""
    if isinstance(config.pixel_decoder, DetrPixelDecoderConfig):
        return PostprocessingConfig(object_threshold=0.85, uncertain_pixels="logits")
    if isinstance(config.transformer_decoder, StandardDecoderConfig):
        return PostprocessingConfig(uncertain_pixels="winner")
    return PostprocessingConfig()


def family_tasks(config: SegmenterConfig) -> tuple[Task, ...]:
    """Return the tasks that a network can be trained for, most demanding first."""
    if isinstance(config.transformer_decoder, PerPixelConfig | PerPixelPlusConfig):
        return ("semantic",)
    if config.clips:
        return ("instance",)
    return tuple(reversed(TASKS))
