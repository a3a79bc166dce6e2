"""Boxes of masks, and the losses and matching costs of boxes (DETR, 3.1 and appendix A.2).

Boxes are (centre x, centre y, width, height) as fractions of the network's input.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MIN_AREA = 1e-12
"""Smallest divisor of overlaps, as boxes without an area have none; float32 resolves 1e-7."""


def mask_boxes(masks: Bool[Tensor, "n h w"]) -> Float[Tensor, "n 4"]:
    """Compute the box of each mask, from pixel edge to pixel edge; zeros for empty masks."""
    (left, right), (top, bottom) = extent(masks.any(1)), extent(masks.any(2))
    return torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], dim=-1)


def extent(occupied: Bool[Tensor, "n p"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Return start and end of the True values of each row as fractions of the row's length."""
    count = occupied.shape[1]
    edges = torch.arange(count + 1, device=occupied.device)
    end = torch.where(occupied, edges[1:], 0).amax(1)
    start = torch.where(occupied, edges[:-1], count).amin(1).minimum(end)
    return start / count, end / count


def corners(boxes: Float[Tensor, "*b 4"]) -> tuple[Float[Tensor, "*b 2"], Float[Tensor, "*b 2"]]:
    """Return the top left and the bottom right corner (x, y) of each box."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return centre - half, centre + half


def generalized_iou(
    boxes: Float[Tensor, "*#b 4"], others: Float[Tensor, "*#b 4"]
) -> Float[Tensor, "*b"]:
    """Compute the generalized IoU (Rezatofighi et al. 2019) of pairs of boxes, from -1 to 1."""
    (start, end), (other_start, other_end) = corners(boxes), corners(others)
    overlap = (end.minimum(other_end) - start.maximum(other_start)).clamp(min=0).prod(-1)
    hull = (end.maximum(other_end) - start.minimum(other_start)).prod(-1)
    union = (end - start).prod(-1) + (other_end - other_start).prod(-1) - overlap
    return overlap / union.clamp(min=MIN_AREA) - (hull - union) / hull.clamp(min=MIN_AREA)


def box_costs(
    boxes: Float[Tensor, "q 4"], true: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "q n"], Float[Tensor, "q n"]]:
    """Compute the L1 distance, and 1 - generalized IoU, of every pair of boxes."""
    queries = boxes[:, None]
    return (queries - true).abs().sum(-1), 1 - generalized_iou(queries, true)


def box_losses(
    boxes: Float[Tensor, "n 4"], true: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Sum the L1 distances, and 1 - generalized IoU, of matched boxes."""
    return (boxes - true).abs().sum(), (1 - generalized_iou(boxes, true)).sum()
