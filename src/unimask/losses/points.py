"""Sampling of masks and logits at points (PointRend, 3.1)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

MAX_FLOAT_PIXELS = {"cpu": 2**20, "cuda": 2**26}
"""Number of mask pixels that are converted to floats at a time: a CPU's cache, a busy GPU."""


def uniform_points(
    count: int, device: torch.device, generator: torch.Generator | None
) -> Float[Tensor, "p 2"]:
    """Draw uniform points (x, y) from 0 to 1.

    Args:
        count: Number of points.
        device: Device of the result.
        generator: Random generator on any device; None for the device's default.
    """
    source = device if generator is None else generator.device
    return torch.rand(count, 2, generator=generator, device=source).to(device)


def sample_logits(
    logits: Float[Tensor, "n h w"], points: Float[Tensor, "n p 2"]
) -> Float[Tensor, "n p"]:
    """Interpolate each map bilinearly at its own points; zero outside."""
    grid = (2 * points - 1)[:, :, None]
    sampled = F.grid_sample(logits[:, None], grid, "bilinear", "zeros", align_corners=False)
    return sampled[:, 0, :, 0]


def sample_logits_saving_points(
    logits: Float[Tensor, "n h w"], points: Float[Tensor, "n p 2"]
) -> Float[Tensor, "n p"]:
    """Compute `sample_logits`; only the points are saved for the backward pass."""
    return _SampleLogits.apply(logits, points)  # type: ignore[return-value]


class _SampleLogits(torch.autograd.Function):
    """Autograd function of `sample_logits_saving_points`."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, points: Tensor) -> Tensor:
        ctx.save_for_backward(points)
        ctx.size = logits.shape[1:]
        return sample_logits(logits, points)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_sampled: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (points,) = ctx.saved_tensors
        return map_gradients(grad_sampled, points, ctx.size), None


def map_gradients(
    grad_sampled: Float[Tensor, "n p"], points: Float[Tensor, "n p 2"], size: tuple[int, int]
) -> Float[Tensor, "n h w"]:
    """Compute the gradient of the maps that `sample_logits` sampled."""
    # Only the size of the sampled maps affects their gradient.
    maps = grad_sampled.new_zeros(()).expand(len(grad_sampled), 1, *size)
    grid = (2 * points - 1)[:, :, None].to(grad_sampled.dtype)
    bilinear = zeros = 0
    grad_maps, _ = torch.ops.aten.grid_sampler_2d_backward(
        grad_sampled[:, None, :, None], maps, grid, bilinear, zeros, False, (True, False)
    )
    return grad_maps[:, 0]


def sample_logits_shared(
    logits: Float[Tensor, "n h w"], points: Float[Tensor, "p 2"]
) -> Float[Tensor, "n p"]:
    """Interpolate all maps bilinearly at the same points, as channels of one image."""
    grid = (2 * points - 1)[None, :, None]
    sampled = F.grid_sample(logits[None], grid, "bilinear", "zeros", align_corners=False)
    return sampled[0, :, :, 0]


def sample_masks(
    masks: Bool[Tensor, "n h w"], layers: Sequence[Float[Tensor, "n p 2"]]
) -> list[Float[Tensor, "n p"]]:
    """Interpolate each mask at its own points, for all layers.

    Equal to `sample_logits` of the masks as floats, but a few masks are converted at a time, once
    for all layers.
    """
    # Allocated first: results between the floats would fragment the heap.
    sampled = [points.new_empty(points.shape[:2]) for points in layers]
    for rows in row_chunks(masks):
        floats = masks[rows].float()
        for values, points in zip(sampled, layers, strict=True):
            values[rows] = sample_logits(floats, points[rows])
    return sampled


def sample_masks_shared(
    masks: Bool[Tensor, "n h w"], points: Float[Tensor, "p 2"]
) -> Float[Tensor, "n p"]:
    """Interpolate all masks at the same points, a few masks at a time."""
    sampled = points.new_empty(len(masks), len(points))
    for rows in row_chunks(masks):
        sampled[rows] = sample_logits_shared(masks[rows].float(), points)
    return sampled


def pool_masks(masks: Bool[Tensor, "n h w"], size: tuple[int, int]) -> Float[Tensor, "n p"]:
    """Average masks over each cell of a coarser grid, a few masks at a time.

    Args:
        masks: Masks.
        size: Height and width of the grid, whose cells are the columns of the result.
    """
    pooled = torch.empty(len(masks), size[0] * size[1], device=masks.device)
    for rows in row_chunks(masks):
        pooled[rows] = F.adaptive_avg_pool2d(masks[rows].float(), size).flatten(1)
    return pooled


def row_chunks(masks: Bool[Tensor, "n h w"]) -> list[slice]:
    """Split masks into slices of `masks_per_chunk`."""
    size = masks_per_chunk(masks)
    return [slice(start, start + size) for start in range(0, len(masks), size)]


def masks_per_chunk(masks: Bool[Tensor, "n h w"]) -> int:
    """Return the number of masks that are converted to floats at a time."""
    _, height, width = masks.shape
    return max(1, MAX_FLOAT_PIXELS.get(masks.device.type, 2**22) // (height * width))


def known_map(
    ignored: Bool[Tensor, "b h w"], logits_size: tuple[int, int]
) -> Bool[Tensor, "b i j"]:
    """Mark where the ground truth at a point is known, on a grid of half pixels.

    A point is unknown if its interpolation reads an ignored pixel of the ground truth, or a pixel
    of the logits that lies wholly under ignored pixels, so that the network's output there has no
    influence. The neighbours that an interpolation reads change only at half pixels, hence the
    grid; where the logits' pixels are not aligned with it, all neighbours of a half pixel's points
    count.

    Args:
        ignored: Pixels without ground truth.
        logits_size: Height and width of the mask logits.
    """
    known_logits = F.adaptive_max_pool2d((~ignored).float()[:, None], logits_size)[:, 0] > 0
    height, width = (2 * side for side in ignored.shape[1:])
    return reads_only(~ignored, height, width) & reads_only(known_logits, height, width)


def known_pixels(
    ignored: Bool[Tensor, "b h w"], logits_size: tuple[int, int]
) -> Bool[Tensor, "b h w"]:
    """Mark the pixels that are not ignored and whose resized logits depend on known logits only.

    Where logits are resized, one that lies wholly under ignored pixels must not influence its
    neighbours either.

    Args:
        ignored: Pixels without ground truth.
        logits_size: Height and width of the logits.
    """
    known_logits = F.adaptive_max_pool2d((~ignored).float()[:, None], logits_size)[:, 0] > 0
    return ~ignored & reads_only(known_logits, ignored.shape[1], ignored.shape[2])


def reads_only(allowed: Bool[Tensor, "b h w"], height: int, width: int) -> Bool[Tensor, "b i j"]:
    """Mark the cells of a finer grid whose points interpolate between allowed pixels only."""
    _, rows, columns = allowed.shape
    by_row = [allowed[:, row] for row in neighbour_indices(height, rows).to(allowed.device)]
    resized = torch.stack(by_row).all(0)
    indices = neighbour_indices(width, columns).to(allowed.device)
    return torch.stack([resized[:, :, column] for column in indices]).all(0)


def neighbour_indices(count: int, length: int) -> Int[Tensor, "t n"]:
    """Return the pixels that interpolation reads along an axis of `length` pixels.

    Column n holds the pixels read by points from n / count to (n + 1) / count of the axis. The
    arithmetic is in integers, hence exact: a point x reads the pixel floor(x * length - 1 / 2) and
    the next.
    """
    start = 2 * torch.arange(count) * length - count
    first = torch.div(start, 2 * count, rounding_mode="floor")
    last = -torch.div(-(start + 2 * length), 2 * count, rounding_mode="floor")
    reads = torch.arange(int((last - first).max()) + 1)[:, None]
    return (first + reads).minimum(last).clamp(0, length - 1)


def known_weights(
    known: Bool[Tensor, "i j"] | None, points: Float[Tensor, "n p 2"]
) -> Float[Tensor, "n p"]:
    """Return 1 for points with known ground truth and 0 for the others.

    Args:
        known: Result of `known_map` for an image; None if everything is known.
        points: Points (x, y) from 0 to 1.
    """
    if known is None:
        return points.new_ones(1, 1).expand(points.shape[:2])
    height, width = known.shape
    column = (points[..., 0] * width).long().clamp(0, width - 1)
    row = (points[..., 1] * height).long().clamp(0, height - 1)
    return known.flatten()[row * width + column].to(points.dtype)


def uncertain_points(
    logits: Float[Tensor, "n h w"],
    candidates: Float[Tensor, "c 2"],
    unknown: Bool[Tensor, " c"] | None,
    count: int,
) -> Float[Tensor, "n p 2"]:
    """Select for each map the candidates where its logits are closest to 0.

    Args:
        logits: Mask logits.
        candidates: Points to select from.
        unknown: Candidates without known ground truth, which are selected last; None for none.
        count: Number of selected candidates.
    """
    certainty = sample_logits_shared(logits, candidates).abs_()
    if unknown is not None:
        certainty.masked_fill_(unknown, torch.inf)
    selected = certainty.topk(count, dim=1, largest=False, sorted=False).indices
    return F.embedding(selected, candidates)
