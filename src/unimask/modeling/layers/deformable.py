"""Multi-scale deformable attention as a layer (Zhu et al. 2021, 4.1)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.deformable_attention import Sampler, project_points, value_sampler
from unimask.kernels.linear import linear
from unimask.kernels.sampling_ring import sampling_ring


class DeformableAttention(nn.Module):
    """Attention of each query to a few sampling points, predicted from it, on every level.

    Args:
        dim: Number of channels.
        num_levels: Number of levels (maps).
        num_heads: Number of heads.
        num_points: Number of sampling points per head and level.
    """

    def __init__(self, *, dim: int, num_levels: int, num_heads: int, num_points: int) -> None:
        super().__init__()
        self.num_levels, self.num_heads, self.num_points = num_levels, num_heads, num_points
        points = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(dim, points * 2)
        self.attention_weights = nn.Linear(dim, points)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self.initialize()

    def initialize(self) -> None:
        """Initialize as the authors: sampling points in a ring of directions, equally weighted."""
        offsets = sampling_ring(self.num_heads, self.num_levels, self.num_points)
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets)
        for layer in (self.attention_weights, self.value_proj, self.output_proj):
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.xavier_uniform_(self.value_proj.weight)
        nn.init.xavier_uniform_(self.output_proj.weight)

    def forward(
        self,
        queries: Float[Tensor, "b q c"],
        positions: Float[Tensor, "q c"],
        centres: Float[Tensor, "q 2"],
        sample: Sampler,
    ) -> Float[Tensor, "b q c"]:
        """Attend to the sampling points around each query's centre (Zhu et al. 2021, eq. 3).

        Args:
            queries: Features of the queries.
            positions: Position encodings of the queries.
            centres: Centre (x, y) of each query, from 0 to 1.
            sample: The projected values of all levels (`value_sampler`).
        """
        shape = self.num_heads, self.num_levels, self.num_points
        layers = self.sampling_offsets, self.attention_weights
        offsets, logits = project_points(self, queries, positions, *layers, shape)
        return linear(sample(centres, offsets, logits), self.output_proj)

    def value_sampler(
        self, memory: Float[Tensor, "b n c"], shapes: list[tuple[int, int]]
    ) -> Sampler:
        """Project the values of all levels; return the function that samples them.

        Args:
            memory: Features of all positions, level after level.
            shapes: Height and width of each level.
        """
        return value_sampler(self.value_proj, memory, self.num_heads, shapes)
