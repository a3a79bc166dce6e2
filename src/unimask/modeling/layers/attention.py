"""Multi-head attention by PyTorch's fused kernels."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unimask.kernels.linear import joint_projections
from unimask.kernels.plain_attention import attention


class Attention(nn.Module):
    """Multi-head attention with the parameter names of `nn.MultiheadAttention`.

    Unlike that module it never materializes the attention weights, and takes one mask per image
    instead of one per image and head.

    Args:
        dim: Number of channels of queries, keys and values.
        num_heads: Number of heads.
        dropout: Dropout rate of the attention weights in training.
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
        """Compute the attention of queries to keys.

        Args:
            query: Queries before projection.
            key: Keys before projection.
            value: Values before projection.
            blocked: True for pairs of query and key that must not attend; None blocks none.
        """
        parts = joint_projections(self, self.in_proj_weight, self.in_proj_bias, (query, key, value))
        heads = [x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in parts]
        dropout = self.dropout if self.training else 0.0
        return self.out_proj(attention(*heads, blocked=blocked, dropout=dropout))
