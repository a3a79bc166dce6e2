"""OneFormer's task-conditioned queries (OneFormer, 3.2)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.positions import level_positions
from unimask.modeling.layers.detr import DetrDecoderLayer
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.transformer_decoders.queries import FlattenedMaps, Queries


class TaskQueries(nn.Module):
    """Queries that a small transformer computes from repetitions of the task token and the image.

    The token itself is the last query. As released, the values of the transformer's
    cross-attention are the position encodings of the mask features; the features are its keys'
    positions (`oneformer_transformer_decoder.py`, `class_transformer`).

    Args:
        num_queries: Number of queries, the task token included.
        dim: Number of channels of the queries.
        mask_dim: Number of channels of the mask features.
        layers: Layers of the small transformer.
        task_norm: Whether the token is normalized like queries and initializes them; otherwise
            they are initialized with zeros.
    """

    def __init__(
        self,
        *,
        num_queries: int,
        dim: int,
        mask_dim: int,
        layers: Sequence[DetrDecoderLayer],
        task_norm: bool,
    ) -> None:
        super().__init__()
        self.task_norm = task_norm
        self.positions = nn.Parameter(torch.randn(num_queries, dim))
        self.input_proj = nn.Conv2d(mask_dim, dim, 1)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(dim)
        nn.init.kaiming_uniform_(self.input_proj.weight, a=1)
        nn.init.zeros_(self.input_proj.bias)  # type: ignore[arg-type]

    def forward(
        self, maps: FlattenedMaps, head: MaskHead, task_token: Float[Tensor, "b c"] | None
    ) -> Queries:
        """Compute the queries of a batch for its tasks.

        Args:
            maps: Output of the pixel decoder.
            head: Prediction head, whose norm is shared.
            task_token: Token of each image's task.

        Raises:
            ValueError: There is no task token.
        """
        if task_token is None:
            raise ValueError("task queries need a task token")
        token = head.norm(task_token) if self.task_norm else task_token
        positions = self.positions[:-1]
        initial = token if self.task_norm else torch.zeros_like(token)
        queries = initial[:, None].expand(-1, len(positions), -1)
        features = self.input_proj(maps.mask_features.projected())
        size = (features.shape[-2], features.shape[-1])
        keys = features.flatten(2).transpose(1, 2)
        (encodings,) = level_positions([size], keys.shape[-1], keys, local=False)
        memory = encodings.expand(keys.shape[0], -1, -1)
        for layer in self.layers:
            queries = layer(queries, positions, memory, keys)
        queries = torch.cat([self.norm(queries), token[:, None]], dim=1)
        return Queries(queries, self.positions)
