"""Transformer decoders: from queries and feature maps to class and mask logits."""

from unimask.modeling.transformer_decoders.joint import JointDecoder, UpscaleBlock
from unimask.modeling.transformer_decoders.masked import (
    MaskedAttentionDecoder,
    MaskedDecoderLayer,
)
from unimask.modeling.transformer_decoders.per_pixel import PerClassHead, PerPixelHead
from unimask.modeling.transformer_decoders.proposals import Proposals
from unimask.modeling.transformer_decoders.queries import LearnedQueries
from unimask.modeling.transformer_decoders.standard import StandardDecoder
from unimask.modeling.transformer_decoders.task_queries import TaskQueries

__all__ = [
    "JointDecoder",
    "LearnedQueries",
    "MaskedAttentionDecoder",
    "MaskedDecoderLayer",
    "PerClassHead",
    "PerPixelHead",
    "Proposals",
    "StandardDecoder",
    "TaskQueries",
    "UpscaleBlock",
]
