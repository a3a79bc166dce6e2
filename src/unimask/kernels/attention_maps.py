"""Attention weights of queries as maps, and their convolution."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def joint_attention_weights(
    query: Float[Tensor, "b m q c"], key: Float[Tensor, "b m n c"]
) -> Float[Tensor, "b q m n"]:
    """Compute attention weights whose sum over all heads and cells is 1 for every query.

    Args:
        query: Queries of each head.
        key: Keys of each head, one per cell.
    """
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    weights = logits.transpose(1, 2).flatten(2).softmax(-1)
    return weights.unflatten(2, (key.shape[1], -1))


def shared_convolution(
    image: Float[Tensor, "b c h w"],
    maps: Float[Tensor, "b q m h w"],
    weight: Float[Tensor, "d n 3 3"],
    bias: Float[Tensor, " d"] | None,
) -> Float[Tensor, "_ d h w"]:
    """Convolve the image's map stacked with the maps of each query, image by image.

    The part of the image's map, which most channels belong to, is computed once for all queries.

    Args:
        image: Map of the image.
        maps: Maps of each query.
        weight: Weight of a 3x3 convolution of the image's and a query's channels.
        bias: Bias of the convolution, or None.
    """
    channels = image.shape[1]
    shared = F.conv2d(image, weight[:, :channels], bias, padding=1)
    own = F.conv2d(maps.flatten(0, 1), weight[:, channels:], padding=1)
    return (own.unflatten(0, (-1, maps.shape[1])) + shared[:, None]).flatten(0, 1)
