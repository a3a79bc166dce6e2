"""Queries to class and mask logits."""

from unimask.modeling.transformer_decoders.masked import (
    MaskedAttentionDecoder,
    MaskedDecoderLayer,
)
from unimask.modeling.transformer_decoders.proposals import Proposals

__all__ = ["MaskedAttentionDecoder", "MaskedDecoderLayer", "Proposals"]
