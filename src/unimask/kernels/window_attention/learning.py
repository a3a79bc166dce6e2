"""Window attention that learns on a CPU, a band of windows at a time."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.layer_norm import Norm, norm_gradients, normalise
from unimask.kernels.linear.learning import Gradients, arithmetic
from unimask.kernels.linear.packed import ready_product
from unimask.kernels.window_attention.bands import Band, bands_in_cache
from unimask.kernels.window_attention.mixing import mix, mix_gradients
from unimask.kernels.window_attention.windows import cut, join, strangers_of


class Parameters(NamedTuple):
    """Of the two linear layers, in the order of `nn.Linear`, and the bias of each head's pairs."""

    qkv: Float[Tensor, "d c"]
    qkv_bias: Float[Tensor, " d"]
    proj: Float[Tensor, "c c"]
    proj_bias: Float[Tensor, " c"]
    bias: Float[Tensor, "m n n"]


def learn_window_attention(
    x: Float[Tensor, "b h w c"], norm: Norm, parameters: Parameters, window: int, shift: int
) -> Float[Tensor, "b h w c"]:
    """Normalise a map, attend within its (shifted) windows and project.

    Autograd would keep windows, scores and masks of the whole map. Here x is kept, with the
    queries, keys and values, and what they were mixed to; the rest is made again band by band.

    Args:
        x: A map.
        norm: Applied to every token first.
        parameters: Of the attention.
        window: Side of a window in tokens.
        shift: Tokens by which the windows are moved.
    """
    sizes = window, shift, norm.eps
    return _WindowAttention.apply(x, sizes, norm.weight, norm.bias, *parameters)  # type: ignore[return-value]


class _WindowAttention(torch.autograd.Function):
    """See `learn_window_attention`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, sizes: tuple[int, int, float], *given: Tensor
    ) -> Float[Tensor, "b h w c"]:
        (*at, eps), dtype = sizes, arithmetic(x)
        norm, parameters = Norm(given[0], given[1], eps), Parameters(*given[2:])
        # Of a mask that wants gradients PyTorch would take another path, which keeps all scores.
        own = Parameters(*(part.detach().to(dtype) for part in parameters))
        out, kept = torch.empty_like(x, dtype=dtype), []
        with torch.autocast("cpu", enabled=False):
            attract, project = ready_product(*own[:2]), ready_product(*own[2:4])
            for band in bands_in_cache(x, *at):
                tiles = cut(normalise(x[:, band.rows], norm).rows.to(dtype), band, *at)
                qkv = attract(tiles)
                mixed = mix(qkv, own.bias, blocked_in(band, x, *at))
                if any(ctx.needs_input_grad):
                    kept += qkv, mixed
                out[:, band.rows] = join(project(mixed), band, x.shape[2], *at)
        ctx.save_for_backward(x, *given, *kept)
        ctx.sizes = sizes
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, to_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (*at, eps), (x, *others) = ctx.sizes, ctx.saved_tensors
        norm, parameters = Norm(others[0], others[1], eps), Parameters(*others[2:7])
        qkvs, mixeds = others[7::2], others[8::2]
        first, second = Gradients(*parameters[:2]), Gradients(*parameters[2:4])
        back = [ready_product(weight.to(to_out.dtype).T) for weight in parameters[:4:2]]
        to_x, to_norm = torch.empty_like(x), [torch.zeros_like(part) for part in norm[:2]]
        to_bias = torch.zeros_like(parameters.bias)
        for band, qkv, mixed in zip(bands_in_cache(x, *at), qkvs, mixeds, strict=True):
            tokens = x[:, band.rows]
            done = normalise(tokens, norm)
            to_tiles = cut(to_out[:, band.rows], band, *at)
            second.add(to_tiles, mixed)
            blocked = blocked_in(band, x, *at)
            to_qkv, to_pairs = mix_gradients(back[1](to_tiles), qkv, parameters.bias, blocked)
            to_bias += to_pairs
            first.add(to_qkv, cut(done.rows.to(qkv.dtype), band, *at))
            to_tokens = join(back[0](to_qkv), band, x.shape[2], *at).to(x.dtype)
            to_x[:, band.rows], *learned = norm_gradients(to_tokens, tokens, done, norm)
            for total, part in zip(to_norm, learned, strict=True):
                total += part
        return to_x, None, *to_norm, *first.found(), *second.found(), to_bias


def blocked_in(band: Band, x: Float[Tensor, "b h w c"], window: int, shift: int) -> Tensor | None:
    """Mark the strangers in a band of a map."""
    return strangers_of(band, x.shape[2], window, shift, x.device)
