"""Normalized window attention by the fastest implementation for the device."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.layer_norm import Norm
from unimask.kernels.linear import drop_cached, linear_function, uses_custom_autograd
from unimask.kernels.window_attention.attention import attend
from unimask.kernels.window_attention.autograd import Weights, window_attention_autograd
from unimask.kernels.window_attention.bands import Band, bands_in_cache
from unimask.kernels.window_attention.geometry import roll
from unimask.kernels.window_attention.partition import blocked_pairs, merge, partition


def window_attention(
    x: Float[Tensor, "b h w c"],
    norm: nn.LayerNorm,
    qkv: nn.Linear,
    proj: nn.Linear,
    bias: Float[Tensor, "m n n"],
    *,
    window: int,
    shift: int,
) -> Float[Tensor, "b h w c"]:
    """Normalize a map, attend within its (shifted) windows, and project (Swin, 3.2).

    On a CPU the map is processed in bands of windows that fit the cache.

    Args:
        x: Tokens of a map of any height and width.
        norm: Normalization of every token, applied first.
        qkv: Projection to queries, keys and values.
        proj: Output projection.
        bias: Bias of the attention logits for each head and pair of tokens in a window.
        window: Side of a window in tokens.
        shift: Number of tokens by which the windows are shifted.
    """
    if uses_custom_autograd(x):
        drop_cached(qkv)
        drop_cached(proj)
        weights = Weights(qkv.weight, qkv.bias, proj.weight, proj.bias, bias)
        return window_attention_autograd(x, Norm.from_layer(norm), weights, window, shift)
    project_in, project_out = linear_function(qkv), linear_function(proj)

    def attend_in(band: Band, tokens: Tensor) -> Tensor:
        windows = partition(norm(tokens), band, window, shift)
        blocked = blocked_pairs(band, x.shape[2], window, shift, x.device)
        mixed = project_out(attend(project_in(windows), bias, blocked))
        return merge(mixed, band, x.shape[2], window, shift)

    first, *others = bands_in_cache(x, window, shift)
    if not others:
        # A map in one band is rolled as a whole: exporters then see no index tensor.
        turn = 0 if isinstance(first.rows, slice) else shift
        return roll(attend_in(first, roll(x, -turn, 1)), turn, 1)
    out = torch.empty_like(x)
    for band in (first, *others):
        out[:, band.rows] = attend_in(band, x[:, band.rows])
    return out
