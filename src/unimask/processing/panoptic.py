"""Panoptic segmentation: every pixel belongs to at most one segment."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.formats.run_length import RunLength, Runs, find_runs
from unimask.processing.blocks import (
    Grid,
    batch_slices,
    block_resizer,
    first_argmax,
    group_by_count,
    iterate_grids,
    label_map_dtype,
    logit_bounds,
)
from unimask.processing.resize import Resizer

UncertainPixels = Literal["void", "winner", "logits"]
"""Treatment of pixels where the best query's mask probability is below one half. "logits" assigns
every pixel to the query with the largest mask logit there, whatever its class score (DETR).
"""

MIN_AREA = 5
"""Minimum number of pixels of a segment by DETR's rule."""

ROUNDING_TOLERANCE = 1e-5
"""Relative tolerance for rounding when an upper bound is compared with the best lower bound."""


class PanopticSegment(NamedTuple):
    """One segment: its id (from 1), class, first query's class score, mask, and queries."""

    id: int
    label_id: int
    score: float
    rle: RunLength
    queries: tuple[int, ...]


class CandidateQueries(NamedTuple):
    """Queries that compete for pixels."""

    scores: Float[Tensor, " q"]
    label_ids: Int[Tensor, " q"]
    mask_logits: Float[Tensor, "q h w"]


def panoptic(
    class_logits: Float[Tensor, "q k"],
    mask_logits: Float[Tensor, "q h w"],
    resizer: Resizer,
    is_thing: tuple[bool, ...],
    object_threshold: float,
    overlap_threshold: float,
    uncertain_pixels: UncertainPixels,
) -> list[PanopticSegment]:
    """Assign each pixel to at most one query (`panoptic_inference` of the authors).

    A query competes if its best class is not "no object" and scores above `object_threshold`.
    Each pixel goes to the query with the largest product of class score and mask probability; if
    that mask probability is below one half, `uncertain_pixels` decides whether the pixel stays
    void. A query that wins less than `overlap_threshold` of its own mask's area is dropped.
    Segments of one stuff class are merged. With "logits", DETR's rule applies instead; see
    `assign_by_logits`.

    Returns:
        Segments in the order of their ids.
    """
    scores, label_ids = class_logits.float().softmax(-1).max(-1)
    is_candidate = (label_ids != class_logits.shape[-1] - 1) & (scores > object_threshold)
    if not is_candidate.any():
        return []
    candidates = CandidateQueries(
        scores[is_candidate],
        label_ids[is_candidate],
        mask_logits[is_candidate].float().contiguous(),
    )
    if uncertain_pixels == "logits":
        owners, accepted = assign_by_logits(candidates, resizer, is_thing)
        runs = find_runs(owners.cpu().numpy().reshape(-1))
    else:
        runs, accepted = assign_by_scores(candidates, resizer, overlap_threshold, uncertain_pixels)
    table, segments = number_segments(accepted, candidates, is_thing)
    ids = table[np.maximum(runs.values, 0)]
    rles = runs._replace(values=ids).encode_masks(resizer.size)
    queries = np.flatnonzero(is_candidate.cpu().numpy())
    return [
        PanopticSegment(
            *segment, rles[segment[0]], tuple(queries[table[1:] == segment[0]].tolist())
        )
        for segment in segments
    ]


def assign_by_scores(
    candidates: CandidateQueries,
    resizer: Resizer,
    overlap_threshold: float,
    uncertain_pixels: UncertainPixels,
) -> tuple[Runs, Bool[np.ndarray, " q"]]:
    """Assign pixels by class score and mask probability.

    Returns:
        Runs of query index + 1, not positive where there is no segment; and whether each query
        retains enough of its mask.
    """
    owners, mask_areas = assign_pixels(candidates, resizer)
    runs = find_runs(owners.cpu().numpy().reshape(-1))
    confident_areas = owner_areas(runs, len(mask_areas))
    won_areas = confident_areas + owner_areas(runs._replace(values=-runs.values), len(mask_areas))
    if uncertain_pixels == "winner":
        runs, confident_areas = runs._replace(values=np.abs(runs.values)), won_areas
    accepted = (
        (mask_areas > 0) & (confident_areas > 0) & (won_areas >= overlap_threshold * mask_areas)
    )
    return runs, accepted


def assign_by_logits(
    candidates: CandidateQueries, resizer: Resizer, is_thing: tuple[bool, ...]
) -> tuple[Int[Tensor, "x y"], Bool[np.ndarray, " q"]]:
    """Assign every pixel to the query with the largest mask logit (DETR's `PostProcessPanoptic`).

    First, the pixels of all queries of a stuff class belong to the first of them. Then queries with
    too few pixels are dropped, and all pixels are assigned anew to the others, until none has too
    few.

    Returns:
        Transposed map of query index + 1, and whether each query remains.
    """
    labels = candidates.label_ids.tolist()
    first = {label: labels.index(label) for label in labels if not is_thing[label]}
    targets = [first.get(label, query) for query, label in enumerate(labels)]
    device = candidates.label_ids.device
    owners = torch.tensor(targets, device=device)[largest_logits(candidates.mask_logits, resizer)]
    remains = torch.ones(len(labels), dtype=torch.bool, device=device)
    while True:
        small = remains & (torch.bincount(owners.flatten(), minlength=len(labels)) < MIN_AREA)
        if not small.any():
            return owners + 1, remains.cpu().numpy()
        remains &= ~small
        if not remains.any():
            return torch.zeros_like(owners), remains.cpu().numpy()
        indices = remains.nonzero()[:, 0]
        owners = indices[largest_logits(candidates.mask_logits[indices], resizer)]


def largest_logits(mask_logits: Float[Tensor, "q h w"], resizer: Resizer) -> Int[Tensor, "x y"]:
    """Return the transposed map of the query with the largest logit, the first of equals."""
    device, width = mask_logits.device, mask_logits.shape[2]
    owners = torch.empty(resizer.size[::-1], dtype=torch.long, device=device)
    for grid in iterate_grids(resizer, device, len(mask_logits)):
        lowest, highest = logit_bounds(mask_logits, grid)
        best = lowest.amax(0)
        contends = highest >= best - ROUNDING_TOLERANCE * (1 + best.abs())
        for blocks, queries in group_by_count(contends):
            for part in batch_slices(len(blocks), queries.shape[1] * grid.area, device):
                interpolation = block_resizer(grid, blocks[part], width)
                logits = interpolation.resize(mask_logits, queries[part])
                grid.write_pixels(owners, blocks[part], first_argmax(queries[part], logits)[0])
    return owners


def number_segments(
    accepted: Bool[np.ndarray, " q"], candidates: CandidateQueries, is_thing: tuple[bool, ...]
) -> tuple[Int[np.ndarray, " _"], list[tuple[int, int, float]]]:
    """Number the segments; return each owner's id (0 for none) and each segment's properties."""
    table = np.zeros(len(accepted) + 1, np.int32)
    segments: list[tuple[int, int, float]] = []
    stuff: dict[int, int] = {}
    rows = zip(accepted, candidates.label_ids.tolist(), candidates.scores.tolist(), strict=True)
    for query, (is_accepted, label, score) in enumerate(rows, start=1):
        if not is_accepted:
            continue
        if is_thing[label] or label not in stuff:
            segments.append((len(segments) + 1, label, score))
            table[query] = len(segments)
            if not is_thing[label]:
                stuff[label] = len(segments)
        else:
            table[query] = stuff[label]
    return table, segments


def owner_areas(runs: Runs, count: int) -> Int[np.ndarray, " q"]:
    """Sum the run lengths of owners 1 to `count`."""
    owners = np.maximum(runs.values, 0)
    return np.bincount(owners, runs.lengths, count + 1)[1:].astype(np.int64)


def assign_pixels(
    candidates: CandidateQueries, resizer: Resizer
) -> tuple[Int[Tensor, "x y"], Int[np.ndarray, " q"]]:
    """Assign each pixel to a query, and count the pixels of each query's own mask.

    Returns:
        Transposed map of query index + 1, negative where the mask probability is below one half;
        and the area of each query's own mask.
    """
    count, device = len(candidates.scores), candidates.scores.device
    kind = label_map_dtype(count)
    owners = torch.empty(resizer.size[::-1], dtype=kind, device=device)
    mask_areas = torch.zeros(count, dtype=torch.long, device=device)
    codes = torch.arange(1, count + 1, dtype=kind, device=device)
    for grid in iterate_grids(resizer, device, count):
        lowest, highest = logit_bounds(candidates.mask_logits, grid)
        contends = possible_winners(lowest, highest, candidates.scores)
        inside = highest >= 0
        partial = inside & (lowest < 0)
        mask_areas += grid.area * (lowest >= 0).sum(1)
        mask_areas += partial_block_areas(candidates.mask_logits, grid, partial)
        # Where one query contends, these sums are its number, and its number if its mask is inside.
        numbers, ones = codes.float(), torch.ones(count, device=device)
        first, is_inside = numbers @ contends.float(), ones @ (contends & inside).float()
        grid.fill_blocks(owners, torch.where(is_inside > 0, first, -first))
        doubtful = (ones @ contends.float() > 1) | (ones @ (contends & partial).float() > 0)
        for blocks, queries in group_by_count(contends & doubtful):
            for part in batch_slices(len(blocks), queries.shape[1] * grid.area, device):
                won = best_queries(candidates, grid, blocks[part], queries[part])
                grid.write_pixels(owners, blocks[part], won)
    return owners, mask_areas.cpu().numpy()


def possible_winners(
    lowest: Float[Tensor, "q n"], highest: Float[Tensor, "q n"], scores: Float[Tensor, " q"]
) -> Bool[Tensor, "q n"]:
    """Mark queries whose upper bound in a block reaches the best lower bound."""
    worst = (lowest.sigmoid() * scores[:, None]).amax(0)
    return highest.sigmoid() * scores[:, None] >= worst * (1 - ROUNDING_TOLERANCE)


def partial_block_areas(
    mask_logits: Float[Tensor, "q h w"], grid: Grid, partial: Bool[Tensor, "q n"]
) -> Int[Tensor, " q"]:
    """Count the pixels with mask probability of one half or more in partly covered blocks."""
    counts = torch.zeros(len(partial), dtype=torch.long, device=partial.device)
    queries, blocks = partial.nonzero().unbind(1)
    for part in batch_slices(len(blocks), grid.area, partial.device):
        interpolation = block_resizer(grid, blocks[part], mask_logits.shape[2])
        logits = interpolation.resize(mask_logits, queries[part, None])
        inside = torch.ge(logits, 0, out=logits)
        counts.index_add_(0, queries[part], inside.sum((1, 2, 3)).long())
    return counts


def best_queries(
    candidates: CandidateQueries, grid: Grid, blocks: Int[Tensor, " m"], queries: Int[Tensor, "m n"]
) -> Int[Tensor, "m a b"]:
    """Assign each pixel of some blocks to its query + 1, negative if the mask is below one half.

    Queries are in order, so that the first of equals wins the pixel.
    """
    interpolation = block_resizer(grid, blocks, candidates.mask_logits.shape[2])
    probs = interpolation.resize(candidates.mask_logits, queries).sigmoid_()
    probs.mul_(candidates.scores[queries][..., None, None])
    owner, best = first_argmax(queries, probs)
    inside = best >= candidates.scores.div(2)[owner]
    return torch.where(inside, owner + 1, -1 - owner)
