"""Multi-scale deformable attention as a layer (Zhu et al. 2021, 4.1)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.deformable_attention import deformable_attention


class DeformableAttention(nn.Module):
    """Each position attends to a few points that it chooses on every level.

    Args:
        dim: Width of a position.
        num_levels: Maps.
        num_heads: Heads.
        num_points: Points per head and level.
    """

    def __init__(self, *, dim: int, num_levels: int, num_heads: int, num_points: int) -> None:
        super().__init__()
        self.num_levels, self.num_heads, self.num_points = num_levels, num_heads, num_points
        points = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(dim, points * 2)
        self.attention_weights = nn.Linear(dim, points)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self.initialise()

    def initialise(self) -> None:
        """Point the heads in a ring of directions, 1 to `num_points` steps out; weigh evenly."""
        angles = torch.arange(self.num_heads, dtype=torch.float32) * (2 * math.pi / self.num_heads)
        ring = torch.stack([angles.cos(), angles.sin()], dim=-1)
        ring = ring / ring.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, self.num_points + 1, dtype=torch.float32)
        offsets = ring[:, None, None, :] * steps[None, None, :, None]
        offsets = offsets.expand(-1, self.num_levels, -1, -1)
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.flatten())
        for linear in (self.attention_weights, self.value_proj, self.output_proj):
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.xavier_uniform_(self.value_proj.weight)
        nn.init.xavier_uniform_(self.output_proj.weight)

    def forward(
        self,
        query: Float[Tensor, "b n c"],
        memory: Float[Tensor, "b n c"],
        centres: Float[Tensor, "n 2"],
        shapes: list[tuple[int, int]],
    ) -> Float[Tensor, "b n c"]:
        """Mix `memory` around each query's centre (x, y from 0 to 1)."""
        b, n, _ = query.shape
        heads, levels, points = self.num_heads, self.num_levels, self.num_points
        value = self.value_proj(memory).unflatten(-1, (heads, -1))
        offsets = self.sampling_offsets(query).view(b, n, heads, levels, points, 2)
        weights = self.attention_weights(query).view(b, n, heads, levels * points)
        weights = weights.softmax(-1).view(b, n, heads, levels, points)
        extent = torch.tensor([(w, h) for h, w in shapes], device=query.device, dtype=query.dtype)
        locations = centres[:, None, None, None, :] + offsets / extent[:, None, :]
        mixed = deformable_attention(value, shapes, locations, weights.to(value.dtype))
        return self.output_proj(mixed)
