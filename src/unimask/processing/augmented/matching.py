"""Instance and panoptic segmentation of several views: queries are matched across views.

The queries of the first view define the objects. Each other view is matched with it, query by
query; class probabilities, and mask probabilities or logits, of matched queries are averaged.
Queries of one view are never matched with each other, so two objects of a view stay two.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from unimask.outputs import SegmenterOutput
from unimask.processing.augmented.views import ViewOutput

MIN_IOU = 0.5
"""Smallest intersection over union of the masks of matched queries."""

MIN_PROB = 1e-6
"""Smallest mask probability, and 1 minus the largest, so that logits are finite."""


class ViewQueries(NamedTuple):
    """Queries of a view.

    Attributes:
        classes: Class probabilities; the last column is "no object".
        mask_logits: Mask logits over the first view's padded input.
    """

    classes: Float[Tensor, "q k1"]
    mask_logits: Float[Tensor, "q h w"]


def merge_views(views: Sequence[ViewOutput], *, average_logits: bool) -> SegmenterOutput:
    """Return logits of the first view, averaged with those of the matched queries of other views.

    A query that a view does not match counts as "no object" there.

    Args:
        views: Network outputs; the first is not mirrored, and its sizes apply to the result.
        average_logits: Whether to average mask logits, for rules that compare them, instead of
            mask probabilities, which hardly differ where logits are large.

    Returns:
        Logits of one image, with a batch dimension.
    """
    first = view_queries(views[0], views[0])
    values = torch.clone if average_logits else torch.sigmoid
    classes, masks = first.classes.clone(), values(first.mask_logits)
    counts = torch.ones(len(classes), device=classes.device)
    for view in views[1:]:
        other = view_queries(view, views[0])
        ours, theirs = match_queries(first, other)
        classes[ours] += other.classes[theirs]
        masks[ours] += values(other.mask_logits[theirs])
        counts[ours] += 1
    classes[:, -1] += len(views) - counts
    classes /= len(views)
    masks /= counts[:, None, None]
    class_logits = classes.clamp(min=torch.finfo(classes.dtype).tiny).log()
    mask_logits = masks if average_logits else masks.logit(MIN_PROB)
    return SegmenterOutput(class_logits[None], mask_logits[None])


def view_queries(view: ViewOutput, first: ViewOutput) -> ViewQueries:
    """Compute a view's class probabilities, and its mask logits over the first view's input."""
    logits = view.mask_logits.float()
    if view is not first:
        logits = resample_masks(logits, view, first)
    return ViewQueries(view.class_logits.float().softmax(-1), logits)


def resample_masks(
    logits: Float[Tensor, "q h w"], view: ViewOutput, first: ViewOutput
) -> Float[Tensor, "q i j"]:
    """Interpolate mask logits of a view at the places of the first view's mask logits."""
    places = []
    for axis in (0, 1):
        count, padded = first.mask_logits.shape[1 + axis], first.padded_size[axis]
        centers = (torch.arange(count, device=logits.device) + 0.5) * (padded / count)
        position = centers / first.input_size[axis]  # 0 to 1 within the image
        if axis == 1 and view.is_mirrored:
            position = 1 - position
        places.append(2 * position * view.input_size[axis] / view.padded_size[axis] - 1)
    rows, columns = torch.meshgrid(*places, indexing="ij")
    grid = torch.stack([columns, rows], dim=-1)[None]
    return F.grid_sample(logits[None], grid, padding_mode="border", align_corners=False)[0]


def match_queries(first: ViewQueries, second: ViewQueries) -> tuple[Tensor, Tensor]:
    """Match the queries of two views one to one.

    The sum over pairs of mask IoU times similarity of the class probabilities (Bhattacharyya
    coefficient) is largest; pairs with an IoU below `MIN_IOU` are dropped.

    Returns:
        Indices of the matched queries of the first and of the second view.
    """
    ours, theirs = (view.mask_logits.flatten(1).gt(0).float() for view in (first, second))
    both = ours @ theirs.T
    union = ours.sum(1)[:, None] + theirs.sum(1) - both
    ious = both / union.clamp(min=1)
    similarity = first.classes.sqrt() @ second.classes.sqrt().T
    # Pairs that would be dropped must not displace others.
    gain = (similarity * ious).where(ious >= MIN_IOU, 0)
    rows, columns = map(torch.from_numpy, linear_sum_assignment(-gain.cpu().numpy()))
    rows, columns = rows.to(ious.device), columns.to(ious.device)
    is_match = ious[rows, columns] >= MIN_IOU
    return rows[is_match], columns[is_match]
