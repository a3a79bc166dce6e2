"""Multi-head attention on top of PyTorch's fused kernels."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unimask.kernels.linear import kept, ready_linear
from unimask.kernels.rows import by_rows


class Attention(nn.Module):
    """Multi-head attention whose parameters are named as those of `nn.MultiheadAttention`.

    Unlike that module it never materialises the weights, and takes a mask for each picture
    rather than for each picture and head.

    Args:
        dim: Width of queries, keys and values.
        num_heads: Heads.
        dropout: Dropout of the attention weights while training.
    """

    def __init__(self, dim: int, *, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Float[Tensor, "b q c"],
        key: Float[Tensor, "b n c"],
        value: Float[Tensor, "b n c"],
        *,
        blocked: Bool[Tensor, "b q n"] | None = None,
    ) -> Float[Tensor, "b q c"]:
        """Mix `value` by the likeness of `query` and `key`; True in `blocked` forbids a pair."""
        pairs = zip(self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        projections = kept(self, lambda: [ready_linear(*pair) for pair in pairs])
        heads = [
            by_rows(project, x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x, project in zip((query, key, value), projections, strict=True)
        ]
        allowed = None if blocked is None else ~blocked[:, None]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(*heads, attn_mask=allowed, dropout_p=dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))
