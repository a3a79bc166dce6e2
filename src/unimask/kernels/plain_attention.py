"""Attention as products and a softmax, for exported graphs."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

BLOCKED_LOGIT = -10000.0
"""Logit of a blocked pair: finite in half precision, and 0 after the softmax in any."""


def plain_attention(
    query: Float[Tensor, "... t c"],
    key: Float[Tensor, "... s c"],
    value: Float[Tensor, "... s c"],
    *,
    bias: Float[Tensor, "... t s"] | None = None,
    blocked: Bool[Tensor, "... t s"] | None = None,
) -> Float[Tensor, "... t c"]:
    """Compute scaled dot-product attention with any number of leading axes.

    Exporters translate fused attention of four axes only, and add checks for rows without any key.

    Args:
        query: Queries.
        key: Keys.
        value: Values.
        bias: Added to the logits, or None.
        blocked: True for pairs that must not attend; every query has at least one other pair.
    """
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if bias is not None:
        logits = logits + bias
    if blocked is not None:
        logits = torch.where(blocked, BLOCKED_LOGIT, logits)
    return logits.softmax(-1) @ value


def attention(
    query: Float[Tensor, "b m q c"],
    key: Float[Tensor, "b m n c"],
    value: Float[Tensor, "b m n c"],
    blocked: Bool[Tensor, "b q n"] | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "b q d"]:
    """Compute multi-head attention by PyTorch's fused kernels, or plainly in exported graphs.

    Args:
        query: Queries of each head.
        key: Keys of each head.
        value: Values of each head.
        blocked: True for pairs of query and key that must not attend; None blocks none.
        dropout: Dropout rate of the attention weights; exported graphs have none.

    Returns:
        Attended values, the heads' channels one after another.
    """
    blocked = None if blocked is None else blocked[:, None]
    if torch.compiler.is_exporting():
        mixed = plain_attention(query, key, value, blocked=blocked)
    else:
        allowed = None if blocked is None else ~blocked
        mixed = F.scaled_dot_product_attention(query, key, value, allowed, dropout)
    return mixed.transpose(1, 2).flatten(2)
