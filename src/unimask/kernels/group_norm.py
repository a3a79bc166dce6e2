"""Group normalisation, exact and quick for maps whose channels come last in memory."""

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.kernels.rows import BLOCK


def group_norm(
    x: Float[Tensor, "b c h w"],
    groups: int,
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    eps: float,
) -> Float[Tensor, "b c h w"]:
    """Normalise groups of channels; without gradients the result takes the memory of `x`.

    With channels last PyTorch's own takes the variance as a difference of two large sums: it
    loses two digits where the mean is far from zero.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type != "cpu":
        # Unlike the one in `functional`, this takes maps of one pixel too.
        return torch.group_norm(x.contiguous(), groups, weight, bias, eps)
    for picture in x:
        means, variances = (line.view(groups, -1) for line in moments(picture))
        mean = means.mean(1, keepdim=True)
        variance = (variances + (means - mean) ** 2).mean(1, keepdim=True)
        scale = weight * (variance + eps).rsqrt().expand_as(means).flatten()
        shift = bias - mean.expand_as(means).flatten() * scale
        scale, shift = (line.to(x.dtype)[:, None, None] for line in (scale, shift))
        torch.addcmul(shift, picture, scale, out=picture)
    return x


def moments(picture: Float[Tensor, "c h w"]) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Give mean and variance of every channel, in double precision.

    Blocks of rows are measured one by one and joined (Chan, Golub and LeVeque 1979): float32
    sums over a whole map would lose digits.
    """
    lines = max(1, BLOCK // picture.shape[2])
    means, variances, counts = [], [], []
    for block in picture.float().split(lines, dim=1):
        mean, variance = torch.batch_norm_update_stats(block[None], None, None, 0.0)
        means.append(mean)
        variances.append(variance)
        counts.append(block.shape[1])
    share = torch.tensor(counts, dtype=torch.float64)[:, None] / picture.shape[1]
    centres = torch.stack(means).double()
    mean = (share * centres).sum(0)
    variance = share * (torch.stack(variances).double() + (centres - mean) ** 2)
    return mean, variance.sum(0)
