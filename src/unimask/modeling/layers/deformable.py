"""Multi-scale deformable attention as a layer (Zhu et al. 2021, 4.1)."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.deformable_attention import sampler
from unimask.kernels.linear import kept, ready_layer, ready_linear_of_sum
from unimask.kernels.rows import by_rows


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
        memory: Float[Tensor, "b n c"],
        positions: Float[Tensor, "n c"],
        centres: Float[Tensor, "n 2"],
        shapes: list[tuple[int, int]],
    ) -> Float[Tensor, "b n c"]:
        """Mix `memory` around the centre (x, y from 0 to 1) of each of its positions."""
        return by_rows(self.reader(memory, shapes), memory, positions, centres)

    def reader(
        self, memory: Float[Tensor, "b n c"], shapes: list[tuple[int, int]]
    ) -> Callable[[Tensor, Tensor, Tensor], Float[Tensor, "b q c"]]:
        """Give `forward` as a function of some rows of the memory, their positions and centres."""
        project, choose, output = kept(
            self,
            lambda: (
                ready_layer(self.value_proj),
                ready_linear_of_sum(*self.choice()),
                ready_layer(self.output_proj),
            ),
        )
        sample = sampler(project, memory, self.num_heads, shapes)
        parts = 3, self.num_heads, self.num_levels, -1

        def read(rows: Tensor, codes: Tensor, centres: Tensor) -> Tensor:
            planes = choose(rows, codes).unflatten(-1, parts)
            # Coordinates stay two planes under a view: their arithmetic then runs over whole rows.
            return output(sample(centres, planes[:, :, :2].movedim(2, -1), planes[:, :, 2]))

        return read

    def choice(self) -> tuple[Float[Tensor, "k c"], Float[Tensor, " k"]]:
        """Join what tells the points of a query: all x, all y, all attention logits."""
        joined = []
        for kind in ("weight", "bias"):
            steps: Tensor = getattr(self.sampling_offsets, kind)
            planes = steps.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1)
            joined.append(torch.cat([planes, getattr(self.attention_weights, kind)]))
        return joined[0], joined[1]
