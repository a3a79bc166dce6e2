"""Attention as products and a softmax, for exported graphs."""

import torch
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
