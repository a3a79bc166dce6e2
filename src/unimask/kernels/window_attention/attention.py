"""The attention within windows and its gradients, on queries, keys and values."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.kernels.plain_attention import plain_attention

BLOCKED_BIAS = -100.0
"""Added to the logits of blocked pairs. Finite, as the published weights were trained with it."""


def logit_biases(
    bias: Float[Tensor, "m n n"], blocked: Bool[Tensor, "w n n"] | None
) -> Float[Tensor, "_ m n n"]:
    """Return what is added to the logits of an image's windows; one for all if none is blocked."""
    if blocked is None:
        return bias[None]
    return torch.add(bias, blocked[:, None], alpha=BLOCKED_BIAS)


def attend(
    qkv: Float[Tensor, "t n d"], bias: Float[Tensor, "m n n"], blocked: Bool[Tensor, "w n n"] | None
) -> Float[Tensor, "t n c"]:
    """Attend within each window.

    Args:
        qkv: Queries, keys and values side by side, for `t` windows: images vary slowest.
        bias: Bias of the logits for each head and pair of tokens.
        blocked: True for pairs that must not attend, for the windows of one image.
    """
    t, n, d = qkv.shape
    query, key, value = qkv.view(t, n, 3, len(bias), -1).permute(2, 0, 3, 1, 4)
    biases = logit_biases(bias.to(qkv.dtype), blocked)
    if blocked is not None and torch.compiler.is_exporting():
        # Images are an axis of their own, so that no graph repeats the biases for each.
        query, key, value = (x.unflatten(0, (-1, len(blocked))) for x in (query, key, value))
        mixed = plain_attention(query, key, value, bias=biases)
        return mixed.transpose(2, 3).reshape(t, n, d // 3)
    if blocked is not None:
        # For one image this is a view; flattening copies only for more.
        biases = biases.expand(t // len(blocked), -1, -1, -1, -1).flatten(0, 1)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=biases)
    return mixed.transpose(1, 2).reshape(t, n, d // 3)


def attend_backward(
    grad_out: Float[Tensor, "t n c"],
    qkv: Float[Tensor, "t n d"],
    bias: Float[Tensor, "m n n"],
    blocked: Bool[Tensor, "w n n"] | None,
) -> tuple[Float[Tensor, "t n d"], Float[Tensor, "m n n"]]:
    """Compute the gradients of `qkv` and `bias`, in float32 or wider.

    The attention weights are recomputed.

    Args:
        grad_out: Gradient of the result of `attend`.
        qkv: Argument of `attend`.
        bias: Argument of `attend`.
        blocked: Argument of `attend`.
    """
    (t, n, _), m = qkv.shape, len(bias)
    dtype = torch.promote_types(qkv.dtype, torch.float32)
    parts = qkv.view(t, n, 3, m, -1).permute(2, 0, 3, 1, 4).to(dtype)
    query, key, value = parts.reshape(3, t * m, n, -1)
    grad_heads = grad_out.view(t, n, m, -1).transpose(1, 2).to(dtype).reshape(t * m, n, -1)
    scale = query.shape[-1] ** -0.5
    logits = torch.bmm(query * scale, key.transpose(1, 2)).view(-1, m, n, n)
    biases = logit_biases(bias.to(qkv.dtype), blocked).to(dtype)
    logits.view(-1, *biases.shape).add_(biases)
    weights = logits.softmax(-1).view(t * m, n, n)
    grad_weights = torch.bmm(grad_heads, value.transpose(1, 2))
    grad_logits = torch.ops.aten._softmax_backward_data(grad_weights, weights, -1, dtype)
    grad_parts = torch.empty_like(parts, memory_format=torch.contiguous_format)
    grad_query, grad_key, grad_value = grad_parts.view(3, t * m, n, -1)
    torch.bmm(grad_logits, key, out=grad_query).mul_(scale)
    torch.bmm(grad_logits.transpose(1, 2), query, out=grad_key).mul_(scale)
    torch.bmm(weights.transpose(1, 2), grad_heads, out=grad_value)
    grad_qkv = grad_parts.permute(1, 3, 0, 2, 4).to(qkv.dtype).reshape(qkv.shape)
    return grad_qkv, grad_logits.view(t, m, n, n).sum(0)
