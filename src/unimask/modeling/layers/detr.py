"""The encoder and decoder layers of DETR (Carion et al. 2020, appendix A.3)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.attention import Attention
from unimask.modeling.layers.recomputable import RecomputableLayer


class DetrEncoderLayer(RecomputableLayer):
    """Self-attention and feed-forward part, each followed by add and norm.

    Args:
        dim: Number of channels.
        num_heads: Number of heads.
        ffn_dim: Number of hidden channels of the feed-forward part.
        dropout: Dropout rate of every part.
    """

    def __init__(self, *, dim: int, num_heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(dim, num_heads=num_heads, dropout=dropout)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.linear1, self.linear2, self.self_attn.out_proj):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self, memory: Float[Tensor, "b n c"], positions: Float[Tensor, "n c"]
    ) -> Float[Tensor, "b n c"]:
        """Apply self-attention and feed-forward part."""
        q = k = memory + positions
        memory = self.norm1(memory + self.dropout(self.self_attn(q, k, memory)))
        hidden = self.dropout(F.relu(self.linear1(memory)))
        return self.norm2(memory + self.dropout(self.linear2(hidden)))


class DetrDecoderLayer(RecomputableLayer):
    """Self-attention, cross-attention and feed-forward part, each followed by add and norm.

    The arguments are those of `DetrEncoderLayer`.
    """

    def __init__(self, *, dim: int, num_heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(dim, num_heads=num_heads, dropout=dropout)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn = Attention(dim, num_heads=num_heads, dropout=dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        projections = self.self_attn.out_proj, self.cross_attn.out_proj
        for linear in (self.linear1, self.linear2, *projections):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self,
        queries: Float[Tensor, "b q c"],
        query_positions: Float[Tensor, "q c"],
        memory: Float[Tensor, "b n c"],
        memory_positions: Float[Tensor, "... n c"],
    ) -> Float[Tensor, "b q c"]:
        """Apply self-attention, cross-attention and feed-forward part."""
        q = k = queries + query_positions
        queries = self.norm1(queries + self.dropout(self.self_attn(q, k, queries)))
        attended = self.cross_attn(queries + query_positions, memory + memory_positions, memory)
        queries = self.norm2(queries + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(queries)))
        return self.norm3(queries + self.dropout(self.linear2(hidden)))
