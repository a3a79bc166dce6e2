"""Points inside masks, so that no loss ever sees a mask at full size (PointRend, 3.1)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

PIXELS_AT_ONCE = {"cpu": 2**20, "cuda": 2**26}
"""Pixels of masks that are floats at the same time: what a cache holds, what keeps a GPU busy."""


def uniform_points(
    count: int, device: torch.device, generator: torch.Generator | None
) -> Float[Tensor, "p 2"]:
    """Draw points (x, y) from 0 to 1 over the picture.

    Args:
        count: Points.
        device: Where they are needed.
        generator: Source of every draw, on any device; None is the device's own.
    """
    source = device if generator is None else generator.device
    return torch.rand(count, 2, generator=generator, device=source).to(device)


def sample_logits(
    logits: Float[Tensor, "n h w"], points: Float[Tensor, "n p 2"]
) -> Float[Tensor, "n p"]:
    """Interpolate each row's map at its points; zero outside."""
    grid = (2 * points - 1)[:, :, None]
    sampled = F.grid_sample(logits[:, None], grid, "bilinear", "zeros", align_corners=False)
    return sampled[:, 0, :, 0]


def sample_lean(
    logits: Float[Tensor, "n h w"], points: Float[Tensor, "n p 2"]
) -> Float[Tensor, "n p"]:
    """Do what `sample_logits` does, and keep no more than the points for the gradient."""
    return _SampleLean.apply(logits, points)  # type: ignore[return-value]


class _SampleLean(torch.autograd.Function):
    """See `sample_lean`."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, points: Tensor) -> Tensor:
        ctx.save_for_backward(points)
        ctx.size = logits.shape[1:]
        return sample_logits(logits, points)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, to_sampled: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (points,) = ctx.saved_tensors
        return gradient_of_maps(to_sampled, points, ctx.size), None


def gradient_of_maps(
    to_sampled: Float[Tensor, "n p"], points: Float[Tensor, "n p 2"], size: tuple[int, int]
) -> Float[Tensor, "n h w"]:
    """Give the gradient of maps of which `sample_logits` read some points."""
    # Only the size of what was sampled matters to its own gradient.
    sizes = to_sampled.new_zeros(()).expand(len(to_sampled), 1, *size)
    grid = (2 * points - 1)[:, :, None].to(to_sampled.dtype)
    bilinear = zeros = 0
    to_maps, _ = torch.ops.aten.grid_sampler_2d_backward(
        to_sampled[:, None, :, None], sizes, grid, bilinear, zeros, False, (True, False)
    )
    return to_maps[:, 0]


def sample_logits_shared(
    logits: Float[Tensor, "n h w"], points: Float[Tensor, "p 2"]
) -> Float[Tensor, "n p"]:
    """Interpolate every map at the same points: the maps are channels of one picture."""
    grid = (2 * points - 1)[None, :, None]
    sampled = F.grid_sample(logits[None], grid, "bilinear", "zeros", align_corners=False)
    return sampled[0, :, :, 0]


def sample_masks(
    masks: Bool[Tensor, "n h w"], layers: Sequence[Float[Tensor, "n p 2"]]
) -> list[Float[Tensor, "n p"]]:
    """Interpolate each mask at its points, for all layers at once.

    Equal to `sample_logits` on the masks as floats, but only a few masks are floats at a time,
    and each of them once for all layers.
    """
    # Laid out first: results kept between the floats would fragment the heap by all masks' size.
    sampled = [points.new_empty(points.shape[:2]) for points in layers]
    for rows in row_chunks(masks):
        floats = masks[rows].float()
        for values, points in zip(sampled, layers, strict=True):
            values[rows] = sample_logits(floats, points[rows])
    return sampled


def sample_masks_shared(
    masks: Bool[Tensor, "n h w"], points: Float[Tensor, "p 2"]
) -> Float[Tensor, "n p"]:
    """Interpolate every mask at the same points, a few masks at a time."""
    sampled = points.new_empty(len(masks), len(points))
    for rows in row_chunks(masks):
        sampled[rows] = sample_logits_shared(masks[rows].float(), points)
    return sampled


def row_chunks(masks: Bool[Tensor, "n h w"]) -> list[slice]:
    """Cut the masks into runs of bounded size."""
    size = rows_at_once(masks)
    return [slice(start, start + size) for start in range(0, len(masks), size)]


def rows_at_once(masks: Bool[Tensor, "n h w"]) -> int:
    """Give the number of masks that may be floats at the same time."""
    _, height, width = masks.shape
    return max(1, PIXELS_AT_ONCE.get(masks.device.type, 2**22) // (height * width))


def known_map(
    ignored: Bool[Tensor, "b h w"], logits_size: tuple[int, int]
) -> Bool[Tensor, "b i j"]:
    """Mark where a point's truth is known, on a grid of half pixels.

    A point is unknown if its interpolation reads an ignored pixel of the truth, or a cell of the
    logits that lies wholly under ignored pixels: so what the network says there cannot matter.
    Which neighbours an interpolation reads changes only at half pixels, hence the grid; where
    the cells of the logits do not line up with it, all that a half pixel's points read counts.

    Args:
        ignored: Pixels of unknown truth.
        logits_size: Height and width of the mask logits.
    """
    known_cells = F.adaptive_max_pool2d((~ignored).float()[:, None], logits_size)[:, 0] > 0
    height, width = (2 * side for side in ignored.shape[1:])
    return reads_only(~ignored, height, width) & reads_only(known_cells, height, width)


def known_pixels(
    ignored: Bool[Tensor, "b h w"], logits_size: tuple[int, int]
) -> Bool[Tensor, "b h w"]:
    """Mark the pixels that are not ignored and whose logits are made of known cells.

    Where logits are resized to the pixels, a cell that lies wholly under ignored pixels must not
    matter to its neighbours either.

    Args:
        ignored: Pixels of unknown truth.
        logits_size: Height and width of the logits.
    """
    cells = F.adaptive_max_pool2d((~ignored).float()[:, None], logits_size)[:, 0] > 0
    return ~ignored & reads_only(cells, ignored.shape[1], ignored.shape[2])


def reads_only(allowed: Bool[Tensor, "b h w"], height: int, width: int) -> Bool[Tensor, "b i j"]:
    """Mark the cells of a finer grid whose points interpolate between allowed pixels alone."""
    _, rows, columns = allowed.shape
    down = [allowed[:, row] for row in read_cells(height, rows).to(allowed.device)]
    tall = torch.stack(down).all(0)
    across = [tall[:, :, column] for column in read_cells(width, columns).to(allowed.device)]
    return torch.stack(across).all(0)


def read_cells(count: int, length: int) -> Int[Tensor, "t n"]:
    """Give the cells that interpolation reads along an axis of `length` cells.

    Column n holds those of the points from n / count to (n + 1) / count of the axis, in integers
    and so exactly: a point x reads the cell floor(x * length - 1 / 2) and the next.
    """
    start = 2 * torch.arange(count) * length - count
    first = torch.div(start, 2 * count, rounding_mode="floor")
    last = -torch.div(-(start + 2 * length), 2 * count, rounding_mode="floor")
    reads = torch.arange(int((last - first).max()) + 1)[:, None]
    return (first + reads).minimum(last).clamp(0, length - 1)


def known_weights(
    known: Bool[Tensor, "i j"] | None, points: Float[Tensor, "n p 2"]
) -> Float[Tensor, "n p"]:
    """Give 1 to points whose truth is known and 0 to the others.

    Args:
        known: A picture's, from `known_map`; None where everything is known.
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
    """Keep for each map the candidates where it is closest to undecided.

    Args:
        logits: Mask logits per row.
        candidates: Points to choose from.
        unknown: Candidates of unknown truth, which come last; None for none.
        count: Candidates kept.
    """
    certainty = sample_logits_shared(logits, candidates).abs_()
    if unknown is not None:
        certainty.masked_fill_(unknown, torch.inf)
    chosen = certainty.topk(count, dim=1, largest=False, sorted=False).indices
    return F.embedding(chosen, candidates)
