"""Group normalisation, exact and quick for maps whose channels come last in memory."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.rows import BLOCK

SUMMED = 2048
"""Cells whose moments float32 takes at a time: over twice as many it loses digits."""

Finish = Callable[[Float[Tensor, "b c i w"], slice], object]
"""Changes lines of normalised maps in place, given these and which lines they are."""


def group_norm(
    x: Float[Tensor, "b c h w"],
    groups: int,
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    eps: float,
    finish: Finish = lambda lines, where: None,
) -> Float[Tensor, "b c h w"]:
    """Normalise groups of channels; without gradients the result takes the memory of `x`.

    With channels last PyTorch's own takes the variance as a difference of two large sums: it
    loses two digits where the mean is far from zero.

    Args:
        x: Maps.
        groups: They divide the channels.
        weight: By channel.
        bias: Likewise.
        eps: Added to the variance.
        finish: What comes next, done to some lines after the others while the cache holds them.
    """
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        # Unlike the one in `functional`, this takes maps of one pixel too.
        out = torch.group_norm(x.contiguous(), groups, weight, bias, eps)
        finish(out, slice(0, x.shape[2]))
        return out
    mean, variance = moments(x)
    means, variances = mean.unflatten(1, (groups, -1)), variance.unflatten(1, (groups, -1))
    middle = means.mean(2, keepdim=True)
    spread = (variances + (means - middle) ** 2).mean(2, keepdim=True)
    middle, inverse = middle.expand_as(means), (spread + eps).rsqrt().expand_as(means)
    given = x, weight, bias, middle.flatten(1), inverse.flatten(1)
    if not torch.is_grad_enabled():
        return scaled(*given, x, finish)
    out = _GroupNorm.apply(*given, groups)
    finish(out, slice(0, x.shape[2]))  # type: ignore[arg-type]
    return out  # type: ignore[return-value]


def scaled(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    mean: Float[Tensor, "b c"],
    inverse: Float[Tensor, "b c"],
    out: Float[Tensor, "b c h w"],
    finish: Finish,
) -> Float[Tensor, "b c h w"]:
    """Write normalised and finished maps to `out`, a block of lines after the other."""
    scale = weight * inverse
    shift = (bias - mean * scale).to(x.dtype)[..., None, None]
    scale = scale.to(x.dtype)[..., None, None]
    step = max(1, BLOCK // x.shape[3])
    for start in range(0, x.shape[2], step):
        where = slice(start, min(start + step, x.shape[2]))
        lines = out[:, :, where]
        for picture, result, factor, summand in zip(
            x[:, :, where], lines, scale, shift, strict=True
        ):
            torch.addcmul(summand, picture, factor, out=result)
        finish(lines, where)
    return out


class _GroupNorm(torch.autograd.Function):
    """Normalise by given means and inverse deviations of every picture and channel."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        inverse: Tensor,
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.groups = groups
        out = torch.empty_like(x)
        return scaled(x, weight, bias, mean, inverse, out, lambda lines, where: None)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, mean, inverse = ctx.saved_tensors
        size = x[0].numel() // ctx.groups
        alone = out.sum((2, 3), dtype=mean.dtype)
        along = ((x * out).sum((2, 3), dtype=mean.dtype) - alone * mean) * inverse
        # Of the normalised values' gradients: their mean, and their mean product with the values.
        each, product = (
            (weight * part).unflatten(1, (ctx.groups, -1)).sum(2, keepdim=True) / size
            for part in (alone, along)
        )
        channels = weight.shape[0] // ctx.groups
        each, product = (p.expand(-1, -1, channels).flatten(1) for p in (each, product))
        slope = -product * inverse * inverse
        start = -each * inverse - slope * mean
        lines = [part.to(x.dtype)[..., None, None] for part in (weight * inverse, slope, start)]
        to_x = torch.addcmul(lines[2], x, lines[1]).addcmul_(out, lines[0])
        return to_x, along.sum(0).to(weight.dtype), alone.sum(0).to(weight.dtype), None, None, None


@torch.no_grad()
def moments(x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Give mean and variance of every picture and channel, in double precision.

    Blocks of rows are measured one by one and joined (Chan, Golub and LeVeque 1979): float32
    sums over a whole map would lose digits.
    """
    step = max(1, SUMMED // x.shape[3])
    blocks = [block[None] for picture in x for block in picture.float().split(step, dim=1)]
    stats = [torch.batch_norm_update_stats(block, None, None, 0.0) for block in blocks]
    counts = [block.shape[2] for block in blocks[: len(blocks) // len(x)]]
    share = torch.tensor(counts, dtype=torch.float64)[:, None] / x.shape[2]
    means, variances = (
        torch.stack(part).double().unflatten(0, (len(x), -1)) for part in zip(*stats, strict=True)
    )
    mean = (share * means).sum(1)
    return mean, (share * (variances + (means - mean[:, None]) ** 2)).sum(1)
