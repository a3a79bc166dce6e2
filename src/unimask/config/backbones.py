"""Configurations of backbones."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNetConfig:
    """A ResNet with its stride in the 3x3 convolution (He et al. 2016; torchvision's variant).

    Attributes:
        block: "bottleneck" for ResNet-50 and deeper, "basic" for smaller networks.
        stem: "basic" for one 7x7 convolution; "deeplab" for three 3x3 ones, as in R50c and R101c.
        stem_channels: Output channels of the stem; DeepLab's first two convolutions have half of
            them.
        channels: Output channels of the four stages.
        depths: Blocks per stage.
        norm: "frozen_batch" uses ImageNet statistics; "group" trains from scratch at any batch
            size.
        last_dilations: Dilation of the 3x3 convolution in each block of the last stage; 1 for
            blocks beyond the tuple. DeepLab uses 1, 2, 4, which cannot be inferred from the shapes
            of weights.
        last_stride: Stride of the last stage; 1 keeps its maps at a stride of 16 (DC5).
        in_channels: Number of image channels; 3 for RGB.
    """

    kind: Literal["resnet"] = "resnet"
    block: Literal["bottleneck", "basic"] = "bottleneck"
    stem: Literal["basic", "deeplab"] = "basic"
    stem_channels: int = 64
    channels: tuple[int, int, int, int] = (256, 512, 1024, 2048)
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    norm: Literal["frozen_batch", "group"] = "frozen_batch"
    last_dilations: tuple[int, ...] = ()
    last_stride: int = 2
    in_channels: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class SwinConfig:
    """A Swin transformer (Liu et al. 2021) with one LayerNorm per output map.

    Attributes:
        embed_dim: Channels of the first stage; each later stage doubles them.
        depths: Blocks per stage.
        num_heads: Attention heads per stage.
        window_size: Side of the attention window, in tokens.
        mlp_ratio: Hidden width of the feed-forward network as a multiple of its input width.
        drop_path: Stochastic depth rate of the last block; it decreases linearly to 0 at the first.
        in_channels: Number of image channels.
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

    The default is ConvNeXt-T. S and larger have `depths` of 3, 3, 27, 3; the `dims` of B, L and XL
    start at 128, 192 and 256 and double from stage to stage.

    Attributes:
        dims: Channels of the four stages.
        depths: Blocks per stage.
        drop_path: Stochastic depth rate of the last block; it decreases linearly to 0 at the first.
        layer_scale: Initial scale of every block's branch, 1 in OneFormer; 0 for no scale.
        in_channels: Number of image channels.
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
    all others 18; S, B and L have an `mlp_ratio` of 2 and an `embed_dim` of 96, 128 and 192. A head
    has 32 channels.

    Attributes:
        embed_dim: Channels of the first stage; each later stage doubles them.
        num_heads: Attention heads per stage.
        kernel_size: Side of the neighbourhood in tokens; odd.
        dilations: Dilation of each block, per stage; their number is the depth of the stage. They
            belong to the trained weights but cannot be inferred from the shapes of weights.
        mlp_ratio: Hidden width of the feed-forward network as a multiple of its input width.
        drop_path: Stochastic depth rate of the last block; it decreases linearly to 0 at the first.
        layer_scale: Initial scale of both branches of every block; 0 for no scales, as in all
            published DiNATs except B.
        in_channels: Number of image channels.
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
        """Number of blocks per stage."""
        return tuple(len(stage) for stage in self.dilations)


@dataclass(frozen=True, kw_only=True, slots=True)
class EfficientNetLiteConfig:
    """An EfficientNet-Lite (Tan and Le 2019, without squeeze-and-excitation and with ReLU6).

    The default is Lite0. Kernels, strides and expansions are those of the paper's table 1.

    Attributes:
        stem_channels: Output channels of the stem.
        channels: Output channels of the seven stages; the outputs of the second, third, fifth and
            seventh are used.
        depths: Blocks per stage.
        norm: "frozen_batch" uses ImageNet statistics; "batch" updates them and needs batches of
            many images; "group" trains from scratch at any batch size.
        in_channels: Number of image channels.
    """

    kind: Literal["efficientnet_lite"] = "efficientnet_lite"
    stem_channels: int = 32
    channels: tuple[int, int, int, int, int, int, int] = (16, 24, 40, 80, 112, 192, 320)
    depths: tuple[int, int, int, int, int, int, int] = (1, 2, 2, 3, 3, 4, 1)
    norm: Literal["frozen_batch", "batch", "group"] = "frozen_batch"
    in_channels: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ViTConfig:
    """A plain vision transformer as DINOv2 and DINOv3 pretrain it, without its last blocks.

    The transformer decoder of an EoMT contains the last blocks, which are of the same kind.

    Attributes:
        dim: Channels of a token.
        depth: Number of blocks before those of the transformer decoder.
        num_heads: Number of attention heads.
        ffn: Feed-forward part: "gelu" for two layers with GELU between them; "swiglu" and "geglu"
            for a layer gated by another one, through SiLU or GELU.
        ffn_dim: Hidden width of the feed-forward part.
        patch_size: Side of a patch in pixels: a power of two, at least 4.
        num_registers: Number of register tokens (Darcet et al. 2024).
        positions: "learned" adds an embedding to each patch (DINOv2); "rotary" rotates queries and
            keys of patches in every block (DINOv3).
        image_size: Side of the images that the network was trained on, in pixels; learned
            embeddings are resized for others.
        rotary_base: Base of the frequencies of rotary positions.
        rotary_rescale: Maximum factor by which rotary positions are enlarged or reduced at random
            in training; 1 for none.
        key_bias: Whether the projection of keys has a bias, as in DINOv2.
        layer_scale: Initial scale of every block's branches.
        norm_eps: Number added to variances in normalization.
        drop_path: Stochastic depth rate of every block.
        in_channels: Number of image channels.
    """

    kind: Literal["vit"] = "vit"
    dim: int = 1024
    depth: int = 20
    num_heads: int = 16
    ffn: Literal["gelu", "swiglu", "geglu"] = "gelu"
    ffn_dim: int = 4096
    patch_size: int = 16
    num_registers: int = 4
    positions: Literal["learned", "rotary"] = "learned"
    image_size: int = 640
    rotary_base: float = 100.0
    rotary_rescale: float = 1.0
    key_bias: bool = True
    layer_scale: float = 1.0
    norm_eps: float = 1e-6
    drop_path: float = 0.0
    in_channels: int = 3

    @property
    def depths(self) -> tuple[int, ...]:
        """Number of blocks of its only stage."""
        return (self.depth,)

    @property
    def dims(self) -> tuple[int, ...]:
        """Channels of its only stage."""
        return (self.dim,)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimmConfig:
    """A backbone of timm, fully configured by its name.

    Attributes:
        name: Name of the model in timm, such as "convnextv2_atto"; a tag of pretrained weights may
            follow after a dot, and determines how images are normalised.
        in_channels: Number of image channels.
    """

    kind: Literal["timm"] = "timm"
    name: str
    in_channels: int = 3


BackboneConfig = (
    ResNetConfig
    | SwinConfig
    | ConvNeXtConfig
    | DiNATConfig
    | EfficientNetLiteConfig
    | ViTConfig
    | TimmConfig
)
