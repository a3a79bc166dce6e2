"""Configurations of pixel decoders."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class DeformablePixelDecoderConfig:
    """The multi-scale deformable attention pixel decoder (Mask2Former, section 3.2.1).

    Attributes:
        dim: Channels of the feature pyramid and of the encoder.
        mask_dim: Channels of the stride-4 mask features.
        num_layers: Number of deformable encoder layers over strides 32, 16 and 8.
        num_heads: Number of attention heads.
        num_points: Number of sampling points per head and level.
        ffn_dim: Hidden width of the encoder's feed-forward network.
        dropout: Dropout probability in the encoder.
        local_positions: Whether position encodings use pixels instead of fractions of the image
            size, so that an image of any size resembles the training crops. No published model
            does.
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
    """A transformer encoder over the features at stride 32 (DETR, appendix A.3).

    Attributes:
        num_layers: Number of self-attention layers.
        num_heads: Number of attention heads.
        ffn_dim: Hidden width of the feed-forward network.
        dropout: Dropout probability in attention and feed-forward networks.
    """

    num_layers: int = 6
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class FPNPixelDecoderConfig:
    """A feature pyramid network (Lin et al. 2017), the pixel decoder of MaskFormer (section 3.4).

    Attributes:
        dim: Channels of the pyramid.
        mask_dim: Channels of the stride-4 mask features.
        encoder: Encoder of the features at stride 32 before the pyramid, as in MaskFormer's ResNet
            models for COCO; None for no encoder.
    """

    kind: Literal["fpn"] = "fpn"
    dim: int = 256
    mask_dim: int = 256
    encoder: MapEncoderConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FaPNPixelDecoderConfig:
    """A feature pyramid network that aligns features before adding them (FaPN, Huang et al. 2021).

    Attributes:
        dim: Channels of the pyramid.
        mask_dim: Channels of the stride-4 mask features.
        num_groups: Number of channel groups that share their sampling offsets.
        encoder: Encoder of the features at stride 32 before the pyramid; None for no encoder.
    """

    kind: Literal["fapn"] = "fapn"
    dim: int = 256
    mask_dim: int = 256
    num_groups: int = 8
    encoder: MapEncoderConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NoPixelDecoderConfig:
    """No pixel decoder: the transformer decoder reads the tokens of the backbone (EoMT, 3.2)."""

    kind: Literal["none"] = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class DetrPixelDecoderConfig:
    """No pixel decoder but DETR's encoder; the head computes masks from attention maps (4.4).

    Attributes:
        dim: Channels of the encoder, and of the queries.
        encoder: Encoder of the backbone's coarsest features; a query has as many attention maps as
            the encoder has heads.
    """

    kind: Literal["detr"] = "detr"
    dim: int = 256
    encoder: MapEncoderConfig = MapEncoderConfig()


PyramidConfig = DeformablePixelDecoderConfig | FPNPixelDecoderConfig | FaPNPixelDecoderConfig
"""Configuration of a pixel decoder that reads the maps of a backbone."""

PixelDecoderConfig = PyramidConfig | NoPixelDecoderConfig | DetrPixelDecoderConfig
