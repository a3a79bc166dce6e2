"""The block of a vision transformer (Dosovitskiy et al. 2021) as DINOv2 and DINOv3 define it."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unimask.kernels.linear import norm_linear
from unimask.kernels.plain_attention import attention
from unimask.kernels.rotary import RotaryPositions
from unimask.modeling.layers.drop_path import DropPath
from unimask.modeling.layers.feed_forward import FeedForward
from unimask.modeling.layers.recomputable import RecomputableLayer

GATES = {"swiglu": F.silu, "geglu": F.gelu}


class ViTAttention(nn.Module):
    """Multi-head self-attention, optionally with rotary positions and with blocked pairs.

    Args:
        dim: Number of channels of a token.
        num_heads: Number of heads.
        key_bias: Whether keys have a bias; without one, `qkv` has none.
    """

    def __init__(self, dim: int, *, num_heads: int, key_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=key_bias)
        if not key_bias:
            self.query_bias = nn.Parameter(torch.zeros(dim))
            self.value_bias = nn.Parameter(torch.zeros(dim))
        self.proj = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "b n c"],
        norm: nn.LayerNorm,
        rotary: RotaryPositions | None,
        blocked: Bool[Tensor, "b n n"] | None,
    ) -> Float[Tensor, "b n c"]:
        """Compute the attention among normalized tokens.

        Args:
            x: Tokens.
            norm: Normalization, applied first.
            rotary: Positions of the patches, which are the last tokens; or None.
            blocked: True for pairs of tokens that must not attend; None blocks none.
        """
        projected = norm_linear(x, norm, self.qkv)
        if self.qkv.bias is None:
            no_bias = torch.zeros_like(self.query_bias)
            projected = projected + torch.cat([self.query_bias, no_bias, self.value_bias])
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in projected.chunk(3, dim=-1)
        )
        if rotary is not None:
            query, key = rotary.rotate(query), rotary.rotate(key)
        return self.proj(attention(query, key, value, blocked=blocked))


class GatedFeedForward(nn.Module):
    """Linear layer gated by another one, then a linear layer back (Shazeer 2020).

    Args:
        dim: Number of channels of a token.
        hidden: Number of hidden channels.
        gate: "swiglu" for SiLU, "geglu" for GELU.
    """

    def __init__(self, dim: int, hidden: int, *, gate: str) -> None:
        super().__init__()
        self.activation = GATES[gate]
        self.fc1 = nn.Linear(dim, 2 * hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "b n c"], norm: nn.LayerNorm) -> Float[Tensor, "b n c"]:
        """Compute `fc2(activation(gate) * value)` with `gate, value = fc1(norm(x))`."""
        gate, value = norm_linear(x, norm, self.fc1).chunk(2, dim=-1)
        return self.fc2(self.activation(gate) * value)


class ViTBlock(RecomputableLayer):
    """Attention and feed-forward part, each on a normalized and scaled residual branch.

    Args:
        dim: Number of channels of a token.
        num_heads: Number of heads.
        ffn: Feed-forward part: "gelu", or a gated one: "swiglu" or "geglu".
        ffn_dim: Number of hidden channels of the feed-forward part.
        key_bias: Whether the projection of keys has a bias.
        layer_scale: Initial scale of both branches.
        norm_eps: Number added to variances in normalization.
        drop_path: Probability that a branch is dropped in training.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        ffn: str,
        ffn_dim: int,
        key_bias: bool,
        layer_scale: float,
        norm_eps: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = ViTAttention(dim, num_heads=num_heads, key_bias=key_bias)
        self.scale1 = nn.Parameter(torch.full((dim,), float(layer_scale)))
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        gated = ffn in GATES
        self.mlp = GatedFeedForward(dim, ffn_dim, gate=ffn) if gated else FeedForward(dim, ffn_dim)
        self.scale2 = nn.Parameter(torch.full((dim,), float(layer_scale)))
        self.drop_path = DropPath(drop_path)

    def forward(
        self,
        x: Float[Tensor, "b n c"],
        rotary: RotaryPositions | None,
        blocked: Bool[Tensor, "b n n"] | None = None,
    ) -> Float[Tensor, "b n c"]:
        """Apply attention and feed-forward part; see `ViTAttention`."""
        attended = self.attn(x, self.norm1, rotary, blocked)
        x = x + self.drop_path(self.scale1 * attended)
        return x + self.drop_path(self.scale2 * self.mlp(x, self.norm2))
