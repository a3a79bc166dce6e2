"""Numbers of pixel decoders."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class DeformablePixelDecoderConfig:
    """The multi-scale deformable attention pixel decoder (Mask2Former, 3.2.1).

    Attributes:
        dim: Width of the feature pyramid and of the encoder.
        mask_dim: Channels of the stride-4 mask features.
        num_layers: Deformable encoder layers over strides 32, 16 and 8.
        num_heads: Attention heads.
        num_points: Sampling points per head and level.
        ffn_dim: Hidden width of the encoder's feed-forward part.
        dropout: Dropout of the encoder.
        local_positions: Measure positions in pixels instead of in shares of the picture, so that
            a picture of any size looks like the squares of training. No published model does.
    """

    kind: Literal["deformable"] = "deformable"
    dim: int = 256
    mask_dim: int = 256
    num_layers: int = 6
    num_heads: int = 8
    num_points: int = 4
    ffn_dim: int = 1024
    dropout: float = 0.0
    local_positions: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MapEncoderConfig:
    """A transformer encoder over the map at stride 32 (DETR, appendix A.3).

    Attributes:
        num_layers: Layers of self-attention.
        num_heads: Attention heads.
        ffn_dim: Hidden width of the feed-forward part.
        dropout: Dropout of attention and feed-forward parts.
    """

    num_layers: int = 6
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class FPNPixelDecoderConfig:
    """A feature pyramid (Lin et al. 2017), the pixel decoder of MaskFormer (3.4).

    Attributes:
        dim: Width of the pyramid.
        mask_dim: Channels of the stride-4 mask features.
        encoder: Runs over the map at stride 32 first, as in MaskFormer's ResNet models of COCO.
    """

    kind: Literal["fpn"] = "fpn"
    dim: int = 256
    mask_dim: int = 256
    encoder: MapEncoderConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FaPNPixelDecoderConfig:
    """A feature pyramid that aligns what it adds (FaPN, Huang et al. 2021).

    Attributes:
        dim: Width of the pyramid.
        mask_dim: Channels of the stride-4 mask features.
        num_groups: Groups of channels that are moved alike.
        encoder: Runs over the map at stride 32 first.
    """

    kind: Literal["fapn"] = "fapn"
    dim: int = 256
    mask_dim: int = 256
    num_groups: int = 8
    encoder: MapEncoderConfig | None = None


PixelDecoderConfig = DeformablePixelDecoderConfig | FPNPixelDecoderConfig | FaPNPixelDecoderConfig
