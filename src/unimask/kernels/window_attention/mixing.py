"""Attention within windows: the mixing itself, and its gradients."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

STRANGE = -100.0
"""What strangers' scores are lowered by. Not infinite: released weights were trained with it."""


def biases(
    bias: Float[Tensor, "m n n"], blocked: Bool[Tensor, "w n n"] | None
) -> Float[Tensor, "_ m n n"]:
    """Give what is added to the scores of a picture's windows; one for all without strangers."""
    if blocked is None:
        return bias[None]
    return torch.add(bias, blocked[:, None], alpha=STRANGE)


def mix(
    qkv: Float[Tensor, "t n d"], bias: Float[Tensor, "m n n"], blocked: Bool[Tensor, "w n n"] | None
) -> Float[Tensor, "t n c"]:
    """Mix the values of each window, by the likeness of queries and keys.

    `t` counts pictures times windows, windows vary fastest.
    """
    t, n, d = qkv.shape
    query, key, value = qkv.view(t, n, 3, len(bias), -1).permute(2, 0, 3, 1, 4)
    added = biases(bias.to(qkv.dtype), blocked)
    if blocked is not None:
        # One picture needs no copy of it; flattening copies only for more.
        added = added.expand(t // len(blocked), -1, -1, -1, -1).flatten(0, 1)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=added)
    return mixed.transpose(1, 2).reshape(t, n, d // 3)


def mix_gradients(
    to_mixed: Float[Tensor, "t n c"],
    qkv: Float[Tensor, "t n d"],
    bias: Float[Tensor, "m n n"],
    blocked: Bool[Tensor, "w n n"] | None,
) -> tuple[Float[Tensor, "t n d"], Float[Tensor, "m n n"]]:
    """Give the gradients of `qkv` and `bias`, in float32 at least; the weights are made again."""
    (t, n, _), m = qkv.shape, len(bias)
    wide = torch.promote_types(qkv.dtype, torch.float32)
    parts = qkv.view(t, n, 3, m, -1).permute(2, 0, 3, 1, 4).to(wide)
    query, key, value = parts.reshape(3, t * m, n, -1)
    to_heads = to_mixed.view(t, n, m, -1).transpose(1, 2).to(wide).reshape(t * m, n, -1)
    scale = query.shape[-1] ** -0.5
    scores = torch.bmm(query * scale, key.transpose(1, 2)).view(-1, m, n, n)
    added = biases(bias.to(qkv.dtype), blocked).to(wide)
    scores.view(-1, *added.shape).add_(added)
    weights = scores.softmax(-1).view(t * m, n, n)
    to_weights = torch.bmm(to_heads, value.transpose(1, 2))
    to_scores = torch.ops.aten._softmax_backward_data(to_weights, weights, -1, wide)
    to_parts = torch.empty_like(parts, memory_format=torch.contiguous_format)
    to_query, to_key, to_value = to_parts.view(3, t * m, n, -1)
    torch.bmm(to_scores, key, out=to_query).mul_(scale)
    torch.bmm(to_scores.transpose(1, 2), query, out=to_key).mul_(scale)
    torch.bmm(weights.transpose(1, 2), to_heads, out=to_value)
    to_qkv = to_parts.permute(1, 3, 0, 2, 4).to(qkv.dtype).reshape(qkv.shape)
    return to_qkv, to_scores.view(t, m, n, n).sum(0)
