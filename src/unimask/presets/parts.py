"""Backbones and pixel decoders by name, with their published configurations."""

from unimask.config import (
    BackboneConfig,
    ConvNeXtConfig,
    DeformablePixelDecoderConfig,
    DiNATConfig,
    EfficientNetLiteConfig,
    FaPNPixelDecoderConfig,
    FPNPixelDecoderConfig,
    MapEncoderConfig,
    PixelDecoderConfig,
    ResNetConfig,
    SwinConfig,
)

Dilations = tuple[tuple[int, ...], ...]

DINAT_DILATIONS: Dilations = (
    (1, 20, 1),
    (1, 5, 1, 10),
    (1, 2, 1, 3, 1, 4, 1, 5, 1, 2, 1, 3, 1, 4, 1, 5, 1, 5),
    (1, 2, 1, 2, 1),
)
DINAT_DILATIONS_1280: Dilations = (
    (1, 28, 1),
    (1, 7, 1, 14),
    (1, 3, 1, 5, 1, 5, 1, 7, 1, 3, 1, 5, 1, 5, 1, 7, 1, 7),
    (1, 3, 1, 3, 1),
)
DINAT_DILATIONS_CITYSCAPES: Dilations = (
    (1, 18, 1),
    (1, 5, 1, 9),
    (1, 2, 1, 3, 1, 4, 1, 2, 1, 3, 1, 4, 1, 2, 1, 3, 1, 4),
    (1, 2, 1, 2, 1),
)
"""Dilations of OneFormer's DiNAT-L: for crops of 640 and 896 pixels, for crops of 1280 pixels, and
for Cityscapes with neighbourhoods of 7 (`configs/**/*dinat*.yaml`).
"""

DINAT_DILATIONS_512: Dilations = (
    (1, 16, 1),
    (1, 4, 1, 8),
    DINAT_DILATIONS_CITYSCAPES[2],
    DINAT_DILATIONS_CITYSCAPES[3],
)
"""Dilations of DiNAT T, S and B for crops of 512 pixels of ADE20K (`segmentation/configs/dinat`).
"""

DINAT_MINI_DILATIONS: Dilations = (
    *DINAT_DILATIONS_512[:2],
    (1, 2, 1, 3, 1, 4),
    DINAT_DILATIONS_512[3],
)
"""Dilations of DiNAT Mini in the same source; it has fewer blocks."""

RESNET18_CHANNELS = (64, 128, 256, 512)
RESNET101_DEPTHS = (3, 4, 23, 3)
SWIN_SMALL_DEPTHS = (2, 2, 18, 2)
LITE_DEPTHS = (1, 3, 3, 4, 4, 5, 1)
CONVNEXT_SMALL_DEPTHS = (3, 3, 27, 3)

BACKBONES: dict[str, BackboneConfig] = {
    "resnet18": ResNetConfig(block="basic", channels=RESNET18_CHANNELS, depths=(2, 2, 2, 2)),
    "resnet34": ResNetConfig(block="basic", channels=RESNET18_CHANNELS),
    "resnet50": ResNetConfig(),
    "resnet101": ResNetConfig(depths=RESNET101_DEPTHS),
    "resnet152": ResNetConfig(depths=(3, 8, 36, 3)),
    "resnet101c": ResNetConfig(
        stem="deeplab", stem_channels=128, depths=RESNET101_DEPTHS, last_dilations=(1, 2, 4)
    ),
    "swin-tiny": SwinConfig(),
    "swin-small": SwinConfig(depths=SWIN_SMALL_DEPTHS),
    "swin-base": SwinConfig(
        embed_dim=128, depths=SWIN_SMALL_DEPTHS, num_heads=(4, 8, 16, 32), window_size=12
    ),
    "swin-large": SwinConfig(
        embed_dim=192, depths=SWIN_SMALL_DEPTHS, num_heads=(6, 12, 24, 48), window_size=12
    ),
    "convnext-tiny": ConvNeXtConfig(layer_scale=1.0),
    "convnext-small": ConvNeXtConfig(depths=CONVNEXT_SMALL_DEPTHS, layer_scale=1.0),
    "convnext-base": ConvNeXtConfig(
        dims=(128, 256, 512, 1024), depths=CONVNEXT_SMALL_DEPTHS, layer_scale=1.0
    ),
    "convnext-large": ConvNeXtConfig(
        dims=(192, 384, 768, 1536), depths=CONVNEXT_SMALL_DEPTHS, layer_scale=1.0
    ),
    "convnext-xlarge": ConvNeXtConfig(
        dims=(256, 512, 1024, 2048), depths=CONVNEXT_SMALL_DEPTHS, layer_scale=1.0
    ),
    "dinat-mini": DiNATConfig(dilations=DINAT_MINI_DILATIONS),
    "dinat-tiny": DiNATConfig(dilations=DINAT_DILATIONS_512, drop_path=0.3),
    "dinat-small": DiNATConfig(
        embed_dim=96,
        num_heads=(3, 6, 12, 24),
        dilations=DINAT_DILATIONS_512,
        mlp_ratio=2.0,
        drop_path=0.5,
    ),
    "dinat-base": DiNATConfig(
        embed_dim=128,
        num_heads=(4, 8, 16, 32),
        dilations=DINAT_DILATIONS_512,
        mlp_ratio=2.0,
        drop_path=0.5,
        layer_scale=1e-5,
    ),
    "dinat-large": DiNATConfig(
        embed_dim=192,
        num_heads=(6, 12, 24, 48),
        kernel_size=11,
        dilations=DINAT_DILATIONS,
        mlp_ratio=2.0,
        drop_path=0.3,
    ),
    "efficientnet-lite0": EfficientNetLiteConfig(),
    "efficientnet-lite1": EfficientNetLiteConfig(depths=LITE_DEPTHS),
    "efficientnet-lite2": EfficientNetLiteConfig(
        channels=(16, 24, 48, 88, 120, 208, 352), depths=LITE_DEPTHS
    ),
    "efficientnet-lite3": EfficientNetLiteConfig(
        channels=(24, 32, 48, 96, 136, 232, 384), depths=(1, 3, 3, 5, 5, 6, 1)
    ),
    "efficientnet-lite4": EfficientNetLiteConfig(
        channels=(24, 32, 56, 112, 160, 272, 448), depths=(1, 4, 4, 6, 6, 8, 1)
    ),
}
"""Swin-B and L have windows of 12, as pretrained at 384 pixels. ConvNeXt's branches start at full
scale, as in OneFormer. The channels and depths of EfficientNet-Lite 1 to 4 are those of Lite0 times
1.0 and 1.1, 1.1 and 1.2, 1.2 and 1.4, 1.4 and 1.8; channels are rounded to multiples of 8, depths
up, and the stem and the depths of the first and last stage stay.
"""

PIXEL_DECODERS: dict[str, PixelDecoderConfig] = {
    "deformable": DeformablePixelDecoderConfig(),
    "fpn": FPNPixelDecoderConfig(),
    "fpn-encoder": FPNPixelDecoderConfig(encoder=MapEncoderConfig()),
    "fapn": FaPNPixelDecoderConfig(),
}
