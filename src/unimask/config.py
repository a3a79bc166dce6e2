"""Every number of an architecture and of its pre- and post-processing, as frozen data.

Importing this module imports no torch: reading a configuration is instant.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNetConfig:
    """A ResNet with its stride in the 3x3 convolution (He et al. 2016; torchvision's variant).

    Attributes:
        block: "bottleneck" for R50 and deeper, "basic" for small ones.
        stem_channels: Width of the 7x7 stem.
        channels: Output channels of the four stages.
        depths: Blocks per stage.
        norm: "frozen_batch" keeps ImageNet statistics; "group" trains from scratch at any batch.
    """

    kind: Literal["resnet"] = "resnet"
    block: Literal["bottleneck", "basic"] = "bottleneck"
    stem_channels: int = 64
    channels: tuple[int, int, int, int] = (256, 512, 1024, 2048)
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    norm: Literal["frozen_batch", "group"] = "frozen_batch"


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
    """

    kind: Literal["swin"] = "swin"
    embed_dim: int = 96
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    num_heads: tuple[int, int, int, int] = (3, 6, 12, 24)
    window_size: int = 7
    mlp_ratio: float = 4.0
    drop_path: float = 0.3


BackboneConfig = ResNetConfig | SwinConfig


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


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskQueriesConfig:
    """How OneFormer makes its queries of the task (OneFormer, 3.2).

    Attributes:
        num_layers: Of the small transformer that starts the queries.
        dropout: Of that transformer.
        task_length: Token ids of the task's sentence, filled up with zeros.
        task_norm: Whether the task token is normalised and starts the queries.
    """

    num_layers: int = 2
    dropout: float = 0.1
    task_length: int = 77
    task_norm: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """The text branch that teaches OneFormer's queries; prediction does without it.

    Attributes:
        dim: Width of the encoder.
        length: Tokens per sentence.
        num_layers: Layers of the encoder.
        vocabulary: Token ids.
        projector_layers: Linear layers from the encoder to the queries.
        context: Learned vectors beside those of sentences; sentences and they together are as
            many as queries.
    """

    dim: int = 256
    length: int = 77
    num_layers: int = 6
    vocabulary: int = 49408
    projector_layers: int = 2
    context: int = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedDecoderConfig:
    """The masked-attention transformer decoder (Mask2Former, 3.2).

    Attributes:
        dim: Width of the queries.
        num_queries: Masks that the network proposes per picture.
        num_layers: Decoder layers; predictions are one more, the first from the bare queries.
        num_heads: Attention heads.
        ffn_dim: Hidden width of the feed-forward part.
        dropout: Dropout of attention and feed-forward parts.
        task_queries: Queries made of the task, OneFormer's; None: learned ones.
        local_positions: As in the pixel decoder.
        proposals: Queries more, as a share of the cells at strides 32, 16 and 8: the most
            promising cells become queries, each anchored at its place (query selection, Mask
            DINO, 3.3). Their number grows with the picture. No published Mask2Former has any.
        max_proposals: ... but to this many.
    """

    kind: Literal["masked"] = "masked"
    dim: int = 256
    num_queries: int = 100
    num_layers: int = 9
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.0
    task_queries: TaskQueriesConfig | None = None
    local_positions: bool = False
    proposals: float = 0.0
    max_proposals: int = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class StandardDecoderConfig:
    """The transformer decoder of MaskFormer (3.4): DETR's, over the map at stride 32.

    Attributes:
        dim: Width of the queries.
        num_queries: Masks that the network proposes per picture.
        num_layers: Decoder layers, and predictions.
        num_heads: Attention heads.
        ffn_dim: Hidden width of the feed-forward part.
        dropout: Dropout of attention and feed-forward parts.
    """

    kind: Literal["standard"] = "standard"
    dim: int = 256
    num_queries: int = 100
    num_layers: int = 6
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class PerPixelConfig:
    """No decoder at all: each pixel is classified on its own (MaskFormer's baseline, 4.1).

    Such a network knows semantic segmentation alone, and stands where the transformer decoder
    would.
    """

    kind: Literal["per_pixel"] = "per_pixel"


TransformerDecoderConfig = MaskedDecoderConfig | StandardDecoderConfig | PerPixelConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmenterConfig:
    """A whole network.

    Attributes:
        num_classes: Real classes; the network adds "no object" as its last output.
        text: The text branch, to train OneFormer with; None where weights lack it.
    """

    backbone: BackboneConfig
    pixel_decoder: PixelDecoderConfig
    transformer_decoder: TransformerDecoderConfig
    num_classes: int
    text: TextConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PreprocessingConfig:
    """How a picture becomes a tensor.

    Attributes:
        shortest_edge: The shorter side is resized to this many pixels, aspect kept.
        longest_edge: ... unless the longer side would then exceed this.
        size_divisor: Padding at the bottom and right, after normalisation, up to a multiple.
        mean: Per channel, on the scale 0 to 255.
        std: Per channel, on the scale 0 to 255.
        stretch: Map each picture's own 0.1 and 99.9 percentiles to black and white first, as
            microscopy needs; photographs do not.
    """

    shortest_edge: int = 800
    longest_edge: int = 1333
    size_divisor: int = 32
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    stretch: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PostprocessingConfig:
    """How logits become segments (reference: `mask2former/maskformer_model.py`).

    Attributes:
        object_threshold: Panoptic: a query counts from this class score on.
        overlap_threshold: Panoptic: the share of its mask that a segment must keep.
        uncertain_pixels: Panoptic: where the best query's mask is below one half, "void" leaves
            the pixel to nobody, Mask2Former's rule; "winner" gives it to that query, MaskFormer's.
        top_k: Instance: pairs of query and class kept.
        min_visible: Instance: least share of its mask that no better instance has taken. 0 keeps
            all, the authors' way; one half suits objects that never overlap in truth.
        resize: "masks" resizes mask logits before any decision; "scores", the rule of
            semantic-only checkpoints, combines classes first and resizes their scores.
    """

    object_threshold: float = 0.8
    overlap_threshold: float = 0.8
    uncertain_pixels: Literal["void", "winner"] = "void"
    top_k: int = 100
    min_visible: float = 0.0
    resize: Literal["masks", "scores"] = "masks"


@dataclass(frozen=True, kw_only=True, slots=True)
class CriterionConfig:
    """Mask2Former's losses, at points; the matcher takes the weights for its costs (3.3).

    Attributes:
        class_weight: Cross entropy of the classes.
        mask_weight: Binary cross entropy at the sampled points.
        dice_weight: Dice at the sampled points.
        no_object_weight: Weight of the "no object" class in the cross entropy.
        num_points: Points sampled per mask.
        oversample_ratio: Candidates drawn per point kept.
        importance_ratio: Share of the points taken where the prediction is least certain.
        ignore_void: False counts ignored pixels as background, as the authors' code does.
    """

    kind: Literal["points"] = "points"
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_ratio: float = 0.75
    ignore_void: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseCriterionConfig:
    """MaskFormer's losses, at every pixel; the matcher takes the weights for its costs (3.2).

    Attributes:
        class_weight: Cross entropy of the classes.
        mask_weight: Focal loss of the masks.
        dice_weight: Dice of the masks.
        no_object_weight: Weight of the "no object" class in the cross entropy.
        focal_alpha: Share of a mask's inside in the focal loss (Lin et al. 2017).
        focal_gamma: How much less pixels count that are right already.
        ignore_void: False counts ignored pixels as background, as the authors' code does.
    """

    kind: Literal["dense"] = "dense"
    class_weight: float = 1.0
    mask_weight: float = 20.0
    dice_weight: float = 1.0
    no_object_weight: float = 0.1
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    ignore_void: bool = True


LossConfig = CriterionConfig | DenseCriterionConfig
