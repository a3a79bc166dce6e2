"""Window attention with a backward pass on the CPU that works band by band and saves little."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.kernels.layer_norm import Norm, norm_backward, normalize
from unimask.kernels.linear.autograd import ParameterGradients, compute_dtype
from unimask.kernels.linear.prepacked import prepacked_product
from unimask.kernels.window_attention.attention import attend, attend_backward
from unimask.kernels.window_attention.bands import Band, bands_in_cache
from unimask.kernels.window_attention.partition import blocked_pairs, merge, partition


class Weights(NamedTuple):
    """Parameters of the two linear layers in the layout of `nn.Linear`, and the logits' bias."""

    qkv: Float[Tensor, "d c"]
    qkv_bias: Float[Tensor, " d"]
    proj: Float[Tensor, "c c"]
    proj_bias: Float[Tensor, " c"]
    bias: Float[Tensor, "m n n"]


def window_attention_autograd(
    x: Float[Tensor, "b h w c"], norm: Norm, weights: Weights, window: int, shift: int
) -> Float[Tensor, "b h w c"]:
    """Normalize a map, attend within its (shifted) windows and project, with gradients.

    PyTorch's autograd would save windows, logits and masks of the whole map. Here `x`, the queries,
    keys and values, and the attention's results are saved; the rest is recomputed band by band.

    Args:
        x: Tokens of a map.
        norm: Normalization of every token, applied first.
        weights: Parameters of the attention.
        window: Side of a window in tokens.
        shift: Number of tokens by which the windows are shifted.
    """
    geometry = window, shift, norm.eps
    return _WindowAttention.apply(x, geometry, norm.weight, norm.bias, *weights)  # type: ignore[return-value]


class _WindowAttention(torch.autograd.Function):
    """Autograd function of `window_attention_autograd`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, geometry: tuple[int, int, float], *parameters: Tensor
    ) -> Float[Tensor, "b h w c"]:
        (*windows, eps), dtype = geometry, compute_dtype(x)
        norm, weights = Norm(parameters[0], parameters[1], eps), Weights(*parameters[2:])
        # With a mask that requires grad, PyTorch would choose a path that saves all logits.
        converted = Weights(*(part.detach().to(dtype) for part in weights))
        out, saved = torch.empty_like(x, dtype=dtype), []
        with torch.autocast("cpu", enabled=False):
            project_in = prepacked_product(*converted[:2])
            project_out = prepacked_product(*converted[2:4])
            for band in bands_in_cache(x, *windows):
                normalized = normalize(x[:, band.rows], norm).rows.to(dtype)
                qkv = project_in(partition(normalized, band, *windows))
                mixed = attend(qkv, converted.bias, blocked_in(band, x, *windows))
                if any(ctx.needs_input_grad):
                    saved += qkv, mixed
                out[:, band.rows] = merge(project_out(mixed), band, x.shape[2], *windows)
        ctx.save_for_backward(x, *parameters, *saved)
        ctx.geometry = geometry
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (*windows, eps), (x, *others) = ctx.geometry, ctx.saved_tensors
        norm, weights = Norm(others[0], others[1], eps), Weights(*others[2:7])
        saved_qkv, saved_mixed = others[7::2], others[8::2]
        qkv_grads, proj_grads = ParameterGradients(*weights[:2]), ParameterGradients(*weights[2:4])
        qkv_back, proj_back = (
            prepacked_product(weight.to(grad_out.dtype).T) for weight in weights[:4:2]
        )
        grad_x, grad_norm = torch.empty_like(x), [torch.zeros_like(part) for part in norm[:2]]
        grad_bias = torch.zeros_like(weights.bias)
        for band, qkv, mixed in zip(
            bands_in_cache(x, *windows), saved_qkv, saved_mixed, strict=True
        ):
            tokens = x[:, band.rows]
            normalized = normalize(tokens, norm)
            grad_tiles = partition(grad_out[:, band.rows], band, *windows)
            proj_grads.add(grad_tiles, mixed)
            grad_qkv, grad_pairs = attend_backward(
                proj_back(grad_tiles), qkv, weights.bias, blocked_in(band, x, *windows)
            )
            grad_bias += grad_pairs
            qkv_grads.add(grad_qkv, partition(normalized.rows.to(qkv.dtype), band, *windows))
            grad_tokens = merge(qkv_back(grad_qkv), band, x.shape[2], *windows).to(x.dtype)
            grad_x[:, band.rows], *grads = norm_backward(grad_tokens, tokens, normalized, norm)
            for total, grad in zip(grad_norm, grads, strict=True):
                total += grad
        weight_grads = *qkv_grads.totals(), *proj_grads.totals(), grad_bias
        return grad_x, None, *grad_norm, *weight_grads


def blocked_in(
    band: Band, x: Float[Tensor, "b h w c"], window: int, shift: int
) -> Bool[Tensor, "w n n"] | None:
    """Return the blocked pairs of a band of a map."""
    return blocked_pairs(band, x.shape[2], window, shift, x.device)
