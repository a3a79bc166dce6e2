"""Numbers of transformer decoders, and of the texts that teach OneFormer's queries."""

from dataclasses import dataclass
from typing import Literal


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
        enforce_input_proj: Project the maps even where they are as wide as the queries; the
            authors' option, which no published network uses.
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
    enforce_input_proj: bool = False
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


@dataclass(frozen=True, kw_only=True, slots=True)
class PerPixelPlusConfig:
    """MaskFormer's decoder with a query per class, each to score every pixel (baseline+, 4.1).

    Such a network knows semantic segmentation alone.

    Attributes:
        dim: Width of the queries.
        num_layers: Decoder layers, and predictions.
        num_heads: Attention heads.
        ffn_dim: Hidden width of the feed-forward part.
        dropout: Dropout of attention and feed-forward parts.
    """

    kind: Literal["per_pixel_plus"] = "per_pixel_plus"
    dim: int = 256
    num_layers: int = 6
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1


TransformerDecoderConfig = (
    MaskedDecoderConfig | StandardDecoderConfig | PerPixelConfig | PerPixelPlusConfig
)
