"""Configurations of transformer decoders and of OneFormer's text encoder."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskQueriesConfig:
    """Task-conditioned queries (OneFormer, section 3.2).

    Attributes:
        num_layers: Number of layers of the small transformer that initialises the queries.
        dropout: Dropout probability in that transformer.
        task_length: Number of token ids of the task sentence, padded with zeros.
        task_norm: Whether the task token is normalised and used to initialise the queries.
    """

    num_layers: int = 2
    dropout: float = 0.1
    task_length: int = 77
    task_norm: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """The text encoder for OneFormer's contrastive loss, which prediction does not use.

    Attributes:
        dim: Width of the encoder.
        length: Number of tokens per sentence.
        num_layers: Number of encoder layers.
        vocabulary: Number of token ids.
        projector_layers: Number of linear layers from the encoder to the text queries.
        context: Number of learned vectors added to the sentences; their sum is the number of
            queries.
    """

    dim: int = 256
    length: int = 77
    num_layers: int = 6
    vocabulary: int = 49408
    projector_layers: int = 2
    context: int = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedDecoderConfig:
    """The masked-attention transformer decoder (Mask2Former, section 3.2).

    Attributes:
        dim: Width of the queries.
        num_queries: Number of queries, and so of masks, per image.
        num_layers: Number of decoder layers; there is one more prediction, from the initial
            queries.
        num_heads: Number of attention heads.
        ffn_dim: Hidden width of the feed-forward network.
        dropout: Dropout probability in attention and feed-forward networks.
        task_queries: Task-conditioned queries (OneFormer); None for learned queries.
        enforce_input_proj: Whether features are projected even where they are as wide as the
            queries; an option of the authors that no published network uses.
        local_positions: Whether position encodings use pixels, as in the pixel decoder.
        proposals: Number of additional queries as a fraction of the positions at strides 32, 16 and
            8. The positions with the highest scores become queries anchored there (query selection,
            Mask DINO, section 3.3), so their number grows with the image. No published Mask2Former
            has any.
        max_proposals: Maximum number of additional queries.
        clips: Whether the network segments clips (Mask2Former for video, Cheng et al. 2021):
            queries attend to all frames of a clip, and position encodings include time.
    """

    kind: Literal["masked"] = "masked"
    dim: int = 256
    num_queries: int = 100
    num_layers: int = 9
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.0
    task_queries: TaskQueriesConfig | None = None
    enforce_input_proj: bool = False
    local_positions: bool = False
    proposals: float = 0.0
    max_proposals: int = 600
    clips: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StandardDecoderConfig:
    """The transformer decoder of MaskFormer (section 3.4): DETR's, over the features at stride 32.

    Attributes:
        dim: Width of the queries.
        num_queries: Number of queries, and so of masks, per image.
        num_layers: Number of decoder layers, and of predictions.
        num_heads: Number of attention heads.
        ffn_dim: Hidden width of the feed-forward network.
        dropout: Dropout probability in attention and feed-forward networks.
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
    """No decoder: each pixel is classified on its own (MaskFormer's baseline, section 4.1).

    Such a network does semantic segmentation only, and takes the place of a transformer decoder.
    """

    kind: Literal["per_pixel"] = "per_pixel"


@dataclass(frozen=True, kw_only=True, slots=True)
class PerPixelPlusConfig:
    """MaskFormer's decoder with one query per class, which scores every pixel (baseline+, 4.1).

    Such a network does semantic segmentation only.

    Attributes:
        dim: Width of the queries.
        num_layers: Number of decoder layers, and of predictions.
        num_heads: Number of attention heads.
        ffn_dim: Hidden width of the feed-forward network.
        dropout: Dropout probability in attention and feed-forward networks.
    """

    kind: Literal["per_pixel_plus"] = "per_pixel_plus"
    dim: int = 256
    num_layers: int = 6
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class JointDecoderConfig:
    """The last blocks of a ViT, which process queries and patches together (EoMT, section 3.2).

    The blocks are those of the backbone's configuration.

    Attributes:
        num_queries: Number of queries, and so of masks, per image.
        num_layers: Number of blocks; while trained, there is one more prediction, from the initial
            queries.
        mask_probs: Probability, per block, that a query attends only to the patches inside its
            mask; () for 0 in all blocks, as at the end of mask annealing (section 3.3).
    """

    kind: Literal["joint"] = "joint"
    num_queries: int = 200
    num_layers: int = 4
    mask_probs: tuple[float, ...] = ()


TransformerDecoderConfig = (
    MaskedDecoderConfig
    | StandardDecoderConfig
    | PerPixelConfig
    | PerPixelPlusConfig
    | JointDecoderConfig
)
