"""Panoptic segmentation: every pixel belongs to at most one segment."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.formats.run_length import RunLength, Runs, find_runs
from unimask.processing.blocks import (
    Grid,
    by_count,
    extremes,
    first_best,
    grids,
    map_type,
    pieces,
    spots,
)
from unimask.processing.resize import Resizer

Uncertain = Literal["void", "winner"]
"""Treatment of pixels where the best query's mask probability is below one half."""

SLACK = 1e-5
"""Relative tolerance for rounding when an upper bound is compared with the best lower bound."""


class PanopticSegment(NamedTuple):
    """One segment: its id (from 1), class, query's class score, and mask."""

    id: int
    label_id: int
    score: float
    rle: RunLength


class Competitors(NamedTuple):
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
    uncertain_pixels: Uncertain,
) -> list[PanopticSegment]:
    """Assign each pixel to at most one query (`panoptic_inference` of the authors).

    A query competes if its best class is not "no object" and scores above `object_threshold`.
    Each pixel goes to the query with the largest product of class score and mask probability; if
    that mask probability is below one half, `uncertain_pixels` decides whether the pixel stays
    void. A query that wins less than `overlap_threshold` of its own mask's area is dropped.
    Segments of one stuff class are merged.

    Returns:
        Segments in the order of their ids.
    """
    scores, label_ids = class_logits.float().softmax(-1).max(-1)
    competes = (label_ids != class_logits.shape[-1] - 1) & (scores > object_threshold)
    if not competes.any():
        return []
    competitors = Competitors(
        scores[competes], label_ids[competes], mask_logits[competes].float().contiguous()
    )
    owners, own = compete(competitors, resizer)
    runs = find_runs(owners.cpu().numpy().reshape(-1))
    confident = areas_of(runs, len(own))
    won = confident + areas_of(runs._replace(values=-runs.values), len(own))
    if uncertain_pixels == "winner":
        runs, confident = runs._replace(values=np.abs(runs.values)), won
    accepted = (own > 0) & (confident > 0) & (won >= overlap_threshold * own)
    table, segments = number(accepted, competitors, is_thing)
    ids = table[np.maximum(runs.values, 0)]
    rles = runs._replace(values=ids).encode_masks(resizer.size)
    return [PanopticSegment(*segment, rles[segment[0]]) for segment in segments]


def number(
    stays: Bool[np.ndarray, " q"], chosen: Competitors, is_thing: tuple[bool, ...]
) -> tuple[Int[np.ndarray, " _"], list[tuple[int, int, float]]]:
    """Number the segments; return each owner's id (0 for none) and each segment's properties."""
    table = np.zeros(len(stays) + 1, np.int32)
    segments: list[tuple[int, int, float]] = []
    stuff: dict[int, int] = {}
    rows = zip(stays, chosen.label_ids.tolist(), chosen.scores.tolist(), strict=True)
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


def areas_of(runs: Runs, count: int) -> Int[np.ndarray, " q"]:
    """Sum the run lengths of owners 1 to `count`."""
    owners = np.maximum(runs.values, 0)
    return np.bincount(owners, runs.lengths, count + 1)[1:].astype(np.int64)


def compete(
    chosen: Competitors, resizer: Resizer
) -> tuple[Int[Tensor, "x y"], Int[np.ndarray, " q"]]:
    """Assign each pixel to a query, and count the pixels of each query's own mask.

    Returns:
        Transposed map of query index + 1, negative where the mask probability is below one half;
        and the area of each query's own mask.
    """
    count, device = len(chosen.scores), chosen.scores.device
    kind = map_type(count)
    owners = torch.empty(resizer.size[::-1], dtype=kind, device=device)
    own = torch.zeros(count, dtype=torch.long, device=device)
    codes = torch.arange(1, count + 1, dtype=kind, device=device)
    for grid in grids(resizer, device, count):
        lowest, highest = extremes(chosen.mask_logits, grid)
        contends = contenders(lowest, highest, chosen.scores)
        inside = highest >= 0
        mixed = inside & (lowest < 0)
        own += grid.area * (lowest >= 0).sum(1)
        own += areas(chosen.mask_logits, grid, mixed)
        # Where one query contends, these sums are its number, and its number if its mask is inside.
        numbers, ones = codes.float(), torch.ones(count, device=device)
        first, is_inside = numbers @ contends.float(), ones @ (contends & inside).float()
        grid.fill(owners, torch.where(is_inside > 0, first, -first))
        doubtful = (ones @ contends.float() > 1) | (ones @ (contends & mixed).float() > 0)
        for blocks, queries in by_count(contends & doubtful):
            for part in pieces(len(blocks), queries.shape[1] * grid.area, device):
                won = winners(chosen, grid, blocks[part], queries[part])
                grid.place(owners, blocks[part], won)
    return owners, own.cpu().numpy()


def contenders(
    lowest: Float[Tensor, "q n"], highest: Float[Tensor, "q n"], scores: Float[Tensor, " q"]
) -> Bool[Tensor, "q n"]:
    """Mark queries whose upper bound in a block reaches the best lower bound."""
    worst = (lowest.sigmoid() * scores[:, None]).amax(0)
    return highest.sigmoid() * scores[:, None] >= worst * (1 - SLACK)


def areas(
    mask_logits: Float[Tensor, "q h w"], grid: Grid, mixed: Bool[Tensor, "q n"]
) -> Int[Tensor, " q"]:
    """Count the pixels with mask probability of one half or more in partly covered blocks."""
    counts = torch.zeros(len(mixed), dtype=torch.long, device=mixed.device)
    queries, blocks = mixed.nonzero().unbind(1)
    for part in pieces(len(blocks), grid.area, mixed.device):
        where = spots(grid, blocks[part], mask_logits.shape[2])
        logits = where.resize(mask_logits, queries[part, None])
        inside = torch.ge(logits, 0, out=logits)
        counts.index_add_(0, queries[part], inside.sum((1, 2, 3)).long())
    return counts


def winners(
    chosen: Competitors, grid: Grid, blocks: Int[Tensor, " m"], queries: Int[Tensor, "m n"]
) -> Int[Tensor, "m a b"]:
    """Assign each pixel of some blocks to its query + 1, negative if the mask is below one half.

    Queries are in order, so that the first of equals wins the pixel.
    """
    where = spots(grid, blocks, chosen.mask_logits.shape[2])
    probs = where.resize(chosen.mask_logits, queries).sigmoid_()
    probs.mul_(chosen.scores[queries][..., None, None])
    owner, best = first_best(queries, probs)
    inside = best >= chosen.scores.div(2)[owner]
    return torch.where(inside, owner + 1, -1 - owner)
