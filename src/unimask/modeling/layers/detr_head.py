"""DETR's prediction head: masks from attention maps of queries (Carion et al. 2020, 4.4)."""

from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.attention_maps import joint_attention_weights, shared_convolution
from unimask.modeling.layers.group_norm import GroupNorm
from unimask.modeling.layers.mlp import MLP
from unimask.modeling.layers.pyramid import initialize_convolutions
from unimask.outputs import BoxPrediction, LayerPrediction


class EncodedMaps(NamedTuple):
    """Maps that queries attend to, and from which their masks are computed.

    Attributes:
        projected: Coarsest map before the encoder.
        coarse: Coarsest map after the encoder.
        finer: The backbone's other maps, coarse to fine.
    """

    projected: Float[Tensor, "b c h w"]
    coarse: Float[Tensor, "b c h w"]
    finer: tuple[Tensor, ...]

    @property
    def mask_features(self) -> "EncodedMaps":
        """The maps from which masks are computed: all of them."""
        return self


class DetrHead(nn.Module):
    """Classes, boxes, and masks by a convolutional network on the attention maps of each query.

    Args:
        dim: Number of channels of the queries.
        num_heads: Number of attention maps per query.
        num_classes: Number of classes; one more output is added for "no object".
        channels: Number of channels of the backbone's finer maps, coarse to fine.
    """

    def __init__(
        self, *, dim: int, num_heads: int, num_classes: int, channels: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(dim)
        self.class_embed = nn.Linear(dim, num_classes + 1)
        self.box_embed = MLP(dim, dim, 4, num_layers=3)
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        widths = (*[dim + num_heads] * 2, *(dim // 2**level for level in range(1, 5)))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(GroupNorm(min(8, n), n, rectified=True) for n in widths[1:])
        adapted = zip(channels, widths[2:-1], strict=True)
        self.adapters = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in adapted)
        self.output = nn.Conv2d(widths[-1], 1, 3, padding=1)
        initialize_convolutions(self)

    def forward(self, queries: Float[Tensor, "b q c"], maps: EncodedMaps) -> LayerPrediction:
        """Predict classes and masks."""
        queries = self.norm(queries)
        return LayerPrediction(self.class_embed(queries), self.masks(queries, maps))

    def boxes(self, queries: Float[Tensor, "b q c"]) -> BoxPrediction:
        """Predict classes and boxes."""
        queries = self.norm(queries)
        return BoxPrediction(self.class_embed(queries), self.box_embed(queries).sigmoid())

    def masks(self, queries: Float[Tensor, "b q c"], maps: EncodedMaps) -> Float[Tensor, "b q h w"]:
        """Predict masks from normalized queries."""
        by_image = (-1, queries.shape[1])
        first: nn.Conv2d = self.convs[0]  # type: ignore[assignment]
        attention = self.attention(queries, maps.coarse)
        x = shared_convolution(maps.projected, attention, first.weight, first.bias)
        x = self.norms[1](self.convs[1](self.norms[0](x)))
        levels = zip(maps.finer, self.adapters, self.convs[2:], self.norms[2:], strict=True)
        for finer, adapter, conv, norm in levels:
            upsampled = F.interpolate(x, finer.shape[-2:], mode="nearest").unflatten(0, by_image)
            x = norm(conv((upsampled + adapter(finer)[:, None]).flatten(0, 1)))
        return self.output(x).squeeze(1).unflatten(0, by_image)

    def attention(
        self, queries: Float[Tensor, "b q c"], coarse: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b q m h w"]:
        """Compute the attention maps of normalized queries."""
        pair = self.query(queries), self.key(coarse.flatten(2).transpose(1, 2))
        heads = [part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in pair]
        return joint_attention_weights(*heads).unflatten(-1, coarse.shape[-2:])
