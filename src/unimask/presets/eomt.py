"""EoMT on the vision transformers of DINOv2 and DINOv3, one function per architecture."""

from collections.abc import Callable
from dataclasses import replace

from unimask.config import JointDecoderConfig, NoPixelDecoderConfig, SegmenterConfig, ViTConfig

HEAD_CHANNELS = 64
"""Channels of a head in every published DINOv2 and DINOv3."""

PUBLISHED_SIZE = 640
"""Side in pixels of the images of most published networks."""


def dinov2(dim: int, blocks: int, joint: int) -> ViTConfig:
    """Return a DINOv2 with registers and patches of 16 pixels.

    Args:
        dim: Number of channels.
        blocks: Number of blocks of the pretrained network.
        joint: Number of blocks that belong to the transformer decoder.
    """
    return ViTConfig(
        dim=dim,
        depth=blocks - joint,
        num_heads=dim // HEAD_CHANNELS,
        ffn_dim=4 * dim,
        image_size=PUBLISHED_SIZE,
        layer_scale=1e-5,
    )


def dinov3(dim: int, blocks: int, joint: int) -> ViTConfig:
    """Return a DINOv3; see `dinov2` for the arguments."""
    return replace(
        dinov2(dim, blocks, joint),
        positions="rotary",
        rotary_rescale=2.0,
        key_bias=False,
        layer_scale=1.0,
        norm_eps=1e-5,
    )


def eomt(vit: ViTConfig, joint: int, num_classes: int) -> SegmenterConfig:
    """Return a ViT whose last `joint` blocks process 200 queries too."""
    return SegmenterConfig(
        backbone=vit,
        pixel_decoder=NoPixelDecoderConfig(),
        transformer_decoder=JointDecoderConfig(num_layers=joint),
        num_classes=num_classes,
    )


def eomt_dinov2_small(num_classes: int = 133) -> SegmenterConfig:
    """Return EoMT-S on DINOv2, whose last three blocks process the queries."""
    return eomt(dinov2(384, 12, 3), 3, num_classes)


def eomt_dinov2_base(num_classes: int = 133) -> SegmenterConfig:
    """Return EoMT-B on DINOv2."""
    return eomt(dinov2(768, 12, 3), 3, num_classes)


def eomt_dinov2_large(num_classes: int = 133) -> SegmenterConfig:
    """Return EoMT-L on DINOv2, the paper's main network: 24 blocks, queries in the last four."""
    return eomt(dinov2(1024, 24, 4), 4, num_classes)


def eomt_dinov2_giant(num_classes: int = 133) -> SegmenterConfig:
    """Return EoMT-g on DINOv2: 40 blocks with SwiGLU, queries in the last five."""
    return eomt(replace(dinov2(1536, 40, 5), ffn="swiglu", ffn_dim=4096), 5, num_classes)


def eomt_dinov3_small(num_classes: int = 133) -> SegmenterConfig:
    """Return EoMT-S on DINOv3."""
    return eomt(dinov3(384, 12, 3), 3, num_classes)


def eomt_dinov3_base(num_classes: int = 133) -> SegmenterConfig:
    """Return EoMT-B on DINOv3."""
    return eomt(dinov3(768, 12, 3), 3, num_classes)


def eomt_dinov3_large(num_classes: int = 133) -> SegmenterConfig:
    """Return EoMT-L on DINOv3."""
    return eomt(dinov3(1024, 24, 4), 4, num_classes)


EOMT_PRESETS: dict[str, Callable[[int], SegmenterConfig]] = {
    "eomt-dinov2-small": eomt_dinov2_small,
    "eomt-dinov2-base": eomt_dinov2_base,
    "eomt-dinov2-large": eomt_dinov2_large,
    "eomt-dinov2-giant": eomt_dinov2_giant,
    "eomt-dinov3-small": eomt_dinov3_small,
    "eomt-dinov3-base": eomt_dinov3_base,
    "eomt-dinov3-large": eomt_dinov3_large,
}
