"""Queries to class and mask logits."""

from unimask.modeling.transformer_decoders.masked import MaskedAttentionDecoder

__all__ = ["MaskedAttentionDecoder"]
