"""Group normalization, exact and fast for maps in channels-last memory format."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.rows import BLOCK

MOMENT_PIXELS = 2048
"""Number of pixels whose moments are summed in float32; over twice as many it loses digits."""

Finish = Callable[[Float[Tensor, "b c i w"], slice], object]
"""Function that modifies rows of normalized maps in place, given them and their slice."""


def group_norm(
    x: Float[Tensor, "b c h w"],
    groups: int,
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    eps: float,
    finish: Finish = lambda rows, where: None,
) -> Float[Tensor, "b c h w"]:
    """Normalize groups of channels; without gradients, `x` is overwritten by the result.

    For channels-last maps PyTorch computes the variance as a difference of two large sums, which
    loses two digits where the mean is far from zero.

    Args:
        x: Maps.
        groups: Number of groups; divides the number of channels.
        weight: Scale of each channel.
        bias: Shift of each channel.
        eps: Added to the variance.
        finish: Applied in place to blocks of rows of the result while they are in the cache.
    """
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        # Unlike `F.group_norm`, this accepts maps of one pixel.
        out = torch.group_norm(x.contiguous(), groups, weight, bias, eps)
        finish(out, slice(0, x.shape[2]))
        return out
    mean, variance = moments(x)
    means, variances = mean.unflatten(1, (groups, -1)), variance.unflatten(1, (groups, -1))
    group_mean = means.mean(2, keepdim=True)
    group_variance = (variances + (means - group_mean) ** 2).mean(2, keepdim=True)
    inverse_std = (group_variance + eps).rsqrt().expand_as(means)
    statistics = group_mean.expand_as(means).flatten(1), inverse_std.flatten(1)
    if not torch.is_grad_enabled():
        return scale_and_shift(x, weight, bias, *statistics, x, finish)
    out = _GroupNorm.apply(x, weight, bias, *statistics, groups)
    finish(out, slice(0, x.shape[2]))  # type: ignore[arg-type]
    return out  # type: ignore[return-value]


def scale_and_shift(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    mean: Float[Tensor, "b c"],
    inverse_std: Float[Tensor, "b c"],
    out: Float[Tensor, "b c h w"],
    finish: Finish,
) -> Float[Tensor, "b c h w"]:
    """Write the normalized and finished maps to `out`, block of rows by block of rows."""
    scale = weight * inverse_std
    shift = (bias - mean * scale).to(x.dtype)[..., None, None]
    scale = scale.to(x.dtype)[..., None, None]
    step = max(1, BLOCK // x.shape[3])
    for start in range(0, x.shape[2], step):
        where = slice(start, min(start + step, x.shape[2]))
        rows = out[:, :, where]
        for image, result, factor, summand in zip(x[:, :, where], rows, scale, shift, strict=True):
            torch.addcmul(summand, image, factor, out=result)
        finish(rows, where)
    return out


class _GroupNorm(torch.autograd.Function):
    """Normalization by given means and inverse standard deviations of each image and channel."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        inverse_std: Tensor,
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, inverse_std)
        ctx.groups = groups
        out = torch.empty_like(x)
        return scale_and_shift(x, weight, bias, mean, inverse_std, out, lambda rows, where: None)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, mean, inverse_std = ctx.saved_tensors
        size = x[0].numel() // ctx.groups
        grad_bias = grad_out.sum((2, 3), dtype=mean.dtype)
        centred = (x * grad_out).sum((2, 3), dtype=mean.dtype) - grad_bias * mean
        grad_weight = centred * inverse_std
        # The mean gradient of the normalized values, and its mean product with them, per group.
        mean_grad, mean_product = (
            (weight * part).unflatten(1, (ctx.groups, -1)).sum(2, keepdim=True) / size
            for part in (grad_bias, grad_weight)
        )
        channels = weight.shape[0] // ctx.groups
        mean_grad, mean_product = (
            part.expand(-1, -1, channels).flatten(1) for part in (mean_grad, mean_product)
        )
        slope = -mean_product * inverse_std * inverse_std
        constant = -mean_grad * inverse_std - slope * mean
        factor, slope, constant = (
            part.to(x.dtype)[..., None, None] for part in (weight * inverse_std, slope, constant)
        )
        grad_x = torch.addcmul(constant, x, slope).addcmul_(grad_out, factor)
        grads = (part.sum(0).to(weight.dtype) for part in (grad_weight, grad_bias))
        return grad_x, *grads, None, None, None


@torch.no_grad()
def moments(x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Compute mean and variance of each image and channel in double precision.

    Moments of blocks of rows are combined (Chan, Golub and LeVeque 1979): float32 sums over a whole
    map would lose digits.
    """
    step = max(1, MOMENT_PIXELS // x.shape[3])
    blocks = [block[None] for image in x for block in image.float().split(step, dim=1)]
    stats = [torch.batch_norm_update_stats(block, None, None, 0.0) for block in blocks]
    counts = [block.shape[2] for block in blocks[: len(blocks) // len(x)]]
    share = torch.tensor(counts, dtype=torch.float64)[:, None] / x.shape[2]
    means, variances = (
        torch.stack(part).double().unflatten(0, (len(x), -1)) for part in zip(*stats, strict=True)
    )
    mean = (share * means).sum(1)
    return mean, (share * (variances + (means - mean[:, None]) ** 2)).sum(1)
