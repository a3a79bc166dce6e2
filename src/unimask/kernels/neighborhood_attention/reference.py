"""Definition of neighborhood attention (Hassani et al. 2023), dilated (Hassani and Shi 2022)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def neighborhood_attention_reference(
    query: Float[Tensor, "b h w m c"],
    key: Float[Tensor, "b h w m c"],
    value: Float[Tensor, "b h w m c"],
    bias: Float[Tensor, "m r r"],
    *,
    dilation: int,
) -> Float[Tensor, "b h w m c"]:
    """Attend from each pixel to its k by k nearest pixels, `dilation` apart.

    Along an axis the neighbours of a pixel lie a multiple of `dilation` away. The window is centred
    on the pixel where possible; at a border it is moved inwards until it lies inside the map, and
    keeps its k pixels. The rule is NATTEN's up to 0.14
    (`get_window_start` and `get_pb_start` of `natten_commons.cuh`).

    Args:
        query: Query of each pixel and head, not yet scaled by the root of `c`.
        key: Key of each pixel and head.
        value: Value of each pixel and head.
        bias: Bias of the logits by row and column offset from pixel to neighbour, from -(k - 1)
            to k - 1: `r` is 2 k - 1, with k odd.
        dilation: Distance between neighbours in pixels.

    Raises:
        ValueError: The map is smaller than k times `dilation`, or k is even.
    """
    h, w = query.shape[1:3]
    k = kernel_size(h, w, bias, dilation)
    rows, columns = neighbours(h, k, dilation), neighbours(w, k, dilation)
    near = (slice(None), rows[:, None, :, None], columns[None, :, None, :])
    query = query * query.shape[-1] ** -0.5
    logits = torch.einsum("bhwmc,bhwijmc->bhwmij", query, key[near])
    down = (rows - torch.arange(h)[:, None]) // dilation + k - 1
    right = (columns - torch.arange(w)[:, None]) // dilation + k - 1
    logits = logits + bias[:, down[:, None, :, None], right[None, :, None, :]].permute(
        1, 2, 0, 3, 4
    )
    weights = logits.flatten(-2).softmax(dim=-1).view(logits.shape)
    return torch.einsum("bhwmij,bhwijmc->bhwmc", weights, value[near])


def neighbours(length: int, k: int, dilation: int) -> Int[Tensor, "n k"]:
    """Return the neighbours of every position along an axis, in order."""
    position = torch.arange(length)
    offset, step = position % dilation, position // dilation
    steps = (length - offset + dilation - 1) // dilation  # positions with that offset
    first = torch.minimum((step - k // 2).clamp(min=0), steps - k)
    return offset[:, None] + dilation * (first[:, None] + torch.arange(k))


def kernel_size(h: int, w: int, bias: Float[Tensor, "m r r"], dilation: int) -> int:
    """Return k, the side of the window.

    Raises:
        ValueError: The map is smaller than k times `dilation`, or k is even.
    """
    k = (bias.shape[-1] + 1) // 2
    if k % 2 == 0:
        raise ValueError(f"the side of the window must be odd, not {k}")
    if min(h, w) < k * dilation:
        raise ValueError(
            f"a {h}x{w} map is too small for {k}x{k} neighbours {dilation} apart: pad it"
        )
    return k
