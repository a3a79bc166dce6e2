"""Numbers of backbones."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNetConfig:
    """A ResNet with its stride in the 3x3 convolution (He et al. 2016; torchvision's variant).

    Attributes:
        block: "bottleneck" for R50 and deeper, "basic" for small ones.
        stem: "basic" is one 7x7 convolution; "deeplab" are three of 3x3, as in R50c and R101c.
        stem_channels: Width of the stem; of DeepLab's first two convolutions it is half of that.
        channels: Output channels of the four stages.
        depths: Blocks per stage.
        norm: "frozen_batch" keeps ImageNet statistics; "group" trains from scratch at any batch.
        last_dilations: Distance of neighbours in the 3x3 convolutions of the last stage, block by
            block; blocks beyond these have 1. DeepLab's are 1, 2, 4, and no weight's shape tells.
        in_channels: Channels of the picture, 3 for RGB; so in all backbones.
    """

    kind: Literal["resnet"] = "resnet"
    block: Literal["bottleneck", "basic"] = "bottleneck"
    stem: Literal["basic", "deeplab"] = "basic"
    stem_channels: int = 64
    channels: tuple[int, int, int, int] = (256, 512, 1024, 2048)
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    norm: Literal["frozen_batch", "group"] = "frozen_batch"
    last_dilations: tuple[int, ...] = ()
    in_channels: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class SwinConfig:
    """A Swin transformer (Liu et al. 2021) with one LayerNorm per output map.

    Attributes:
        embed_dim: Channels of the first stage; each later stage doubles them.
        depths: Blocks per stage.
        num_heads: Attention heads per stage.
        window_size: Side of the attention window, in tokens.
        mlp_ratio: Hidden width of the feed-forward part over its input width.
        drop_path: Stochastic depth of the last block; earlier blocks scale linearly from 0.
        in_channels: Channels of the picture.
    """

    kind: Literal["swin"] = "swin"
    embed_dim: int = 96
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    num_heads: tuple[int, int, int, int] = (3, 6, 12, 24)
    window_size: int = 7
    mlp_ratio: float = 4.0
    drop_path: float = 0.3
    in_channels: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvNeXtConfig:
    """A ConvNeXt (Liu et al. 2022) with one LayerNorm per output map.

    The default is ConvNeXt-T. S has `depths` of 3, 3, 27, 3, and so have the larger ones, whose
    `dims` start at 128 (B), 192 (L) and 256 (XL) and double from stage to stage.

    Attributes:
        dims: Channels of the four stages.
        depths: Blocks per stage.
        drop_path: Stochastic depth of the last block; earlier blocks scale linearly from 0.
        layer_scale: Initial scale of every block's branch, 1 in OneFormer; 0 for blocks without.
        in_channels: Channels of the picture.
    """

    kind: Literal["convnext"] = "convnext"
    dims: tuple[int, int, int, int] = (96, 192, 384, 768)
    depths: tuple[int, int, int, int] = (3, 3, 9, 3)
    drop_path: float = 0.4
    layer_scale: float = 1e-6
    in_channels: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class DiNATConfig:
    """A DiNAT (Hassani and Shi 2022) with one LayerNorm per output map.

    The default is DiNAT-T with its dilations for ImageNet. Mini has 6 blocks in its third stage,
    all others 18; S, B and L have a `mlp_ratio` of 2 and an `embed_dim` of 96, 128 and 192. A head
    has 32 channels.

    Attributes:
        embed_dim: Channels of the first stage; each later stage doubles them.
        num_heads: Attention heads per stage.
        kernel_size: Side of the neighbourhood, in tokens; odd.
        dilations: Distance of neighbours, per stage and block, of which there are as many. They
            belong to the weights, though no weight's shape tells them: one network was trained
            with one set.
        mlp_ratio: Hidden width of the feed-forward part over its input width.
        drop_path: Stochastic depth of the last block; earlier blocks scale linearly from 0.
        layer_scale: Initial scale of both branches of every block; 0 for blocks without scales, as
            in all published DiNATs but B.
        in_channels: Channels of the picture.
    """

    kind: Literal["dinat"] = "dinat"
    embed_dim: int = 64
    num_heads: tuple[int, int, int, int] = (2, 4, 8, 16)
    kernel_size: int = 7
    dilations: tuple[tuple[int, ...], ...] = ((1, 8, 1), (1, 4) * 2, (1, 2) * 9, (1,) * 5)
    mlp_ratio: float = 3.0
    drop_path: float = 0.2
    layer_scale: float = 0.0
    in_channels: int = 3

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks per stage."""
        return tuple(len(stage) for stage in self.dilations)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimmConfig:
    """A backbone of timm, with all numbers that its name stands for there.

    Attributes:
        name: What timm calls it, such as "convnextv2_atto"; a tag of pretrained weights may follow
            a dot, and decides how pictures are normalised.
        in_channels: Channels of the picture.
    """

    kind: Literal["timm"] = "timm"
    name: str
    in_channels: int = 3


BackboneConfig = ResNetConfig | SwinConfig | ConvNeXtConfig | DiNATConfig | TimmConfig
