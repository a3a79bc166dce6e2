"""Backbones and pixel decoders by name, with their published configurations."""

from unimask.config import (
    BackboneConfig,
    ConvNeXtConfig,
    DeformablePixelDecoderConfig,
    DiNATConfig,
    FaPNPixelDecoderConfig,
    FPNPixelDecoderConfig,
    MapEncoderConfig,
    PixelDecoderConfig,
    ResNetConfig,
    SwinConfig,
)

Dilations = tuple[tuple[int, ...], ...]

USUAL: Dilations = (
    (1, 20, 1),
    (1, 5, 1, 10),
    (1, 2, 1, 3, 1, 4, 1, 5, 1, 2, 1, 3, 1, 4, 1, 5, 1, 5),
    (1, 2, 1, 2, 1),
)
LARGE: Dilations = (
    (1, 28, 1),
    (1, 7, 1, 14),
    (1, 3, 1, 5, 1, 5, 1, 7, 1, 3, 1, 5, 1, 5, 1, 7, 1, 7),
    (1, 3, 1, 3, 1),
)
CITYSCAPES: Dilations = (
    (1, 18, 1),
    (1, 5, 1, 9),
    (1, 2, 1, 3, 1, 4, 1, 2, 1, 3, 1, 4, 1, 2, 1, 3, 1, 4),
    (1, 2, 1, 2, 1),
)
"""Dilations of OneFormer's DiNAT-L: for crops of 640 and 896 pixels, for crops of 1280 pixels, and
for Cityscapes with neighbourhoods of 7 (`configs/**/*dinat*.yaml`).
"""

SMALL: Dilations = ((1, 16, 1), (1, 4, 1, 8), CITYSCAPES[2], CITYSCAPES[3])
"""Dilations of DiNAT T, S and B for crops of 512 pixels of ADE20K (`segmentation/configs/dinat`).
"""

MINI: Dilations = (*SMALL[:2], (1, 2, 1, 3, 1, 4), SMALL[3])
"""Dilations of DiNAT Mini in the same source; it has fewer blocks."""

BASIC_RESNET = (64, 128, 256, 512)
DEEP_RESNET = (3, 4, 23, 3)
DEEP_SWIN = (2, 2, 18, 2)
DEEP_CONVNEXT = (3, 3, 27, 3)

BACKBONES: dict[str, BackboneConfig] = {
    "resnet18": ResNetConfig(block="basic", channels=BASIC_RESNET, depths=(2, 2, 2, 2)),
    "resnet34": ResNetConfig(block="basic", channels=BASIC_RESNET),
    "resnet50": ResNetConfig(),
    "resnet101": ResNetConfig(depths=DEEP_RESNET),
    "resnet152": ResNetConfig(depths=(3, 8, 36, 3)),
    "resnet101c": ResNetConfig(
        stem="deeplab", stem_channels=128, depths=DEEP_RESNET, last_dilations=(1, 2, 4)
    ),
    "swin-tiny": SwinConfig(),
    "swin-small": SwinConfig(depths=DEEP_SWIN),
    "swin-base": SwinConfig(
        embed_dim=128, depths=DEEP_SWIN, num_heads=(4, 8, 16, 32), window_size=12
    ),
    "swin-large": SwinConfig(
        embed_dim=192, depths=DEEP_SWIN, num_heads=(6, 12, 24, 48), window_size=12
    ),
    "convnext-tiny": ConvNeXtConfig(layer_scale=1.0),
    "convnext-small": ConvNeXtConfig(depths=DEEP_CONVNEXT, layer_scale=1.0),
    "convnext-base": ConvNeXtConfig(
        dims=(128, 256, 512, 1024), depths=DEEP_CONVNEXT, layer_scale=1.0
    ),
    "convnext-large": ConvNeXtConfig(
        dims=(192, 384, 768, 1536), depths=DEEP_CONVNEXT, layer_scale=1.0
    ),
    "convnext-xlarge": ConvNeXtConfig(
        dims=(256, 512, 1024, 2048), depths=DEEP_CONVNEXT, layer_scale=1.0
    ),
    "dinat-mini": DiNATConfig(dilations=MINI),
    "dinat-tiny": DiNATConfig(dilations=SMALL, drop_path=0.3),
    "dinat-small": DiNATConfig(
        embed_dim=96, num_heads=(3, 6, 12, 24), dilations=SMALL, mlp_ratio=2.0, drop_path=0.5
    ),
    "dinat-base": DiNATConfig(
        embed_dim=128,
        num_heads=(4, 8, 16, 32),
        dilations=SMALL,
        mlp_ratio=2.0,
        drop_path=0.5,
        layer_scale=1e-5,
    ),
    "dinat-large": DiNATConfig(
        embed_dim=192,
        num_heads=(6, 12, 24, 48),
        kernel_size=11,
        dilations=USUAL,
        mlp_ratio=2.0,
        drop_path=0.3,
    ),
}
"""Swin-B and L have windows of 12, as pretrained at 384 pixels. ConvNeXt's branches start at full
scale, as in OneFormer.
"""

PIXEL_DECODERS: dict[str, PixelDecoderConfig] = {
    "deformable": DeformablePixelDecoderConfig(),
    "fpn": FPNPixelDecoderConfig(),
    "fpn-encoder": FPNPixelDecoderConfig(encoder=MapEncoderConfig()),
    "fapn": FaPNPixelDecoderConfig(),
}
