"""Points inside masks, so that no loss ever sees a mask at full size (PointRend, 3.1)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def uniform_points(
    rows: int, count: int, device: torch.device, generator: torch.Generator | None
) -> Float[Tensor, "n p 2"]:
    """Draw points (x, y) from 0 to 1 over the picture.

    Args:
        rows: Independent sets.
        count: Points per set.
        device: Where they are needed.
        generator: Source of every draw, on any device; None is the device's own.
    """
    source = device if generator is None else generator.device
    return torch.rand(rows, count, 2, generator=generator, device=source).to(device)


def sample_logits(
    logits: Float[Tensor, "n h w"], points: Float[Tensor, "n p 2"]
) -> Float[Tensor, "n p"]:
    """Interpolate each row's map at its points; zero outside."""
    grid = (2 * points - 1)[:, :, None]
    sampled = F.grid_sample(logits[:, None], grid, "bilinear", "zeros", align_corners=False)
    return sampled[:, 0, :, 0]


def sample_masks(
    masks: Bool[Tensor, "m h w"], points: Float[Tensor, "n p 2"], rows: Int[Tensor, " n"]
) -> Float[Tensor, "n p"]:
    """Interpolate the mask `rows[i]` at the points of row i.

    Equal to `sample_logits` on `masks[rows]` as floats, but reads four bits a point instead of
    copying whole masks.
    """
    _, h, w = masks.shape
    flat = masks.reshape(-1)
    x, y = points[..., 0] * w - 0.5, points[..., 1] * h - 0.5
    x0, y0 = x.floor(), y.floor()
    start = rows[:, None] * (h * w)
    total = torch.zeros_like(x)
    for row, wy in ((y0, y0 + 1 - y), (y0 + 1, y - y0)):
        for column, wx in ((x0, x0 + 1 - x), (x0 + 1, x - x0)):
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            index = start + row.clamp(0, h - 1).long() * w + column.clamp(0, w - 1).long()
            total += torch.where(inside & flat[index], wy * wx, 0.0)
    return total


def sample_logits_shared(
    logits: Float[Tensor, "n h w"], points: Float[Tensor, "p 2"]
) -> Float[Tensor, "n p"]:
    """Interpolate every map at the same points: the maps are channels of one picture."""
    grid = (2 * points - 1)[None, :, None]
    sampled = F.grid_sample(logits[None], grid, "bilinear", "zeros", align_corners=False)
    return sampled[0, :, :, 0]


def sample_masks_shared(
    masks: Bool[Tensor, "n h w"], points: Float[Tensor, "p 2"]
) -> Float[Tensor, "n p"]:
    """Interpolate every mask at the same points."""
    rows = torch.arange(len(masks), device=masks.device)
    return sample_masks(masks, points.expand(len(masks), -1, -1), rows)


def known_map(
    ignored: Bool[Tensor, "b h w"], logits_size: tuple[int, int]
) -> Bool[Tensor, "b i j"]:
    """Mark where a point's truth is known, on a grid of half pixels.

    A point is unknown if its interpolation reads an ignored pixel of the truth, or a cell of the
    logits that lies wholly under ignored pixels: so what the network says there cannot matter.
    Which neighbours an interpolation reads changes only at half pixels, hence the grid.

    Args:
        ignored: Pixels of unknown truth.
        logits_size: Height and width of the mask logits.
    """
    b, h, w = ignored.shape
    rows = (torch.arange(2 * h, device=ignored.device) + 0.5) / (2 * h)
    columns = (torch.arange(2 * w, device=ignored.device) + 0.5) / (2 * w)
    known_cells = F.adaptive_max_pool2d((~ignored).float()[:, None], logits_size)[:, 0]
    unknown = torch.zeros(b, 2 * h, 2 * w, dtype=torch.bool, device=ignored.device)
    for unread in (ignored, known_cells == 0):
        for row in read_cells(rows, unread.shape[1]):
            for column in read_cells(columns, unread.shape[2]):
                unknown |= unread[:, row][:, :, column]
    return ~unknown


def read_cells(positions: Float[Tensor, " n"], length: int) -> tuple[Tensor, Tensor]:
    """Give the two cells of an axis that interpolation at `positions` (0 to 1) reads."""
    first = (positions * length - 0.5).floor().long()
    return first.clamp(0, length - 1), (first + 1).clamp(0, length - 1)


def known_weights(
    known: Bool[Tensor, "b i j"] | None,
    points: Float[Tensor, "n p 2"],
    pictures: Int[Tensor, " n"],
) -> Float[Tensor, "n p"]:
    """Give 1 to points whose truth is known and 0 to the others.

    Args:
        known: From `known_map`; None where everything is known.
        points: Points (x, y) from 0 to 1.
        pictures: Which picture each row of points belongs to.
    """
    if known is None:
        return points.new_ones(points.shape[:2])
    _, height, width = known.shape
    column = (points[..., 0] * width).long().clamp(0, width - 1)
    row = (points[..., 1] * height).long().clamp(0, height - 1)
    index = pictures[:, None] * (height * width) + row * width + column
    return known.reshape(-1)[index].to(points.dtype)


def uncertain_points(
    logits: Float[Tensor, "n h w"],
    candidates: Float[Tensor, "n c 2"],
    known: Float[Tensor, "n c"],
    count: int,
) -> Float[Tensor, "n p 2"]:
    """Keep the candidates where the prediction is closest to undecided.

    Args:
        logits: Mask logits per row.
        candidates: Points to choose from.
        known: 0 for candidates of unknown truth, which come last.
        count: Candidates kept.
    """
    certainty = sample_logits(logits, candidates).abs().masked_fill(known == 0, torch.inf)
    chosen = certainty.topk(count, dim=1, largest=False).indices
    return candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
