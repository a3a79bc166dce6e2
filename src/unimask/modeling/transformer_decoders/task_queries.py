"""OneFormer's queries: the task token, looked up in the picture (OneFormer, 3.2)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.positions import level_positions
from unimask.modeling.layers.detr import DetrDecoderLayer
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.transformer_decoders.queries import PictureMaps, Queries


class TaskQueries(nn.Module):
    """Give every query the task token, let a small transformer make queries of the picture of them.

    The token itself stays as the last query. What the small transformer reads are the position
    codes of the mask features' cells; the features only say where to look
    (`oneformer_transformer_decoder.py`, `class_transformer`).

    Args:
        num_queries: Queries in all.
        dim: Their width.
        mask_dim: Channels of the mask features.
        layers: Of the small transformer.
        task_norm: Whether the token is normalised as queries are, and starts them; else they
            start from zero.
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
        self, maps: PictureMaps, head: MaskHead, task_token: Float[Tensor, "b c"] | None
    ) -> Queries:
        """Give the queries of a batch for its tasks."""
        if task_token is None:
            raise ValueError("queries of a task need its token")
        token = head.norm(task_token) if self.task_norm else task_token
        positions = self.positions[:-1]
        start = token if self.task_norm else torch.zeros_like(token)
        queries = start[:, None].expand(-1, len(positions), -1)
        features = self.input_proj(maps.mask_features.projected())
        size = (features.shape[-2], features.shape[-1])
        keys = features.flatten(2).transpose(1, 2)
        (codes,) = level_positions([size], keys.shape[-1], keys, local=False)
        memory = codes.expand(len(keys), -1, -1)
        for layer in self.layers:
            queries = layer(queries, positions, memory, keys)
        queries = torch.cat([self.norm(queries), token[:, None]], dim=1)
        return Queries(queries, self.positions)
