"""Panoptic segmentation: every pixel in at most one segment."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.formats.run_length import RunLength, Runs, runs_of
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
"""Who gets a pixel where the best query's mask is below one half."""

SLACK = 1e-5
"""Share of the best worst case by which a best case must fall short: the rest is for rounding."""


class PanopticSegment(NamedTuple):
    """One segment: its id (from 1), its class, the class score of its query, and its pixels."""

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
    """Let confident queries compete for pixels (`panoptic_inference` of the authors).

    A query competes if its best class is not "no object" and scores above `object_threshold`.
    Each pixel goes to the query with the greatest class score times mask probability; where that
    mask's probability is below one half, `uncertain_pixels` says whether it stays void. A query
    that wins less than `overlap_threshold` of its own mask's area is dropped. Segments of one
    stuff class are one.

    Returns:
        Segments in the order of their ids.
    """
    scores, label_ids = class_logits.float().softmax(-1).max(-1)
    competes = (label_ids != class_logits.shape[-1] - 1) & (scores > object_threshold)
    if not competes.any():
        return []
    chosen = Competitors(
        scores[competes], label_ids[competes], mask_logits[competes].float().contiguous()
    )
    owners, own = compete(chosen, resizer)
    runs = runs_of(owners.cpu().numpy().reshape(-1))
    kept = areas_of(runs, len(own))
    won = kept + areas_of(runs._replace(values=-runs.values), len(own))
    if uncertain_pixels == "winner":
        runs, kept = runs._replace(values=np.abs(runs.values)), won
    stays = (own > 0) & (kept > 0) & (won >= overlap_threshold * own)
    table, segments = number(stays, chosen, is_thing)
    ids = table[np.maximum(runs.values, 0)]
    rles = runs._replace(values=ids).masks(resizer.size)
    return [PanopticSegment(*segment, rles[segment[0]]) for segment in segments]


def number(
    stays: Bool[np.ndarray, " q"], chosen: Competitors, is_thing: tuple[bool, ...]
) -> tuple[Int[np.ndarray, " _"], list[tuple[int, int, float]]]:
    """Number the segments: give each owner's id (0 for nobody), and id, class and score of each."""
    table = np.zeros(len(stays) + 1, np.int32)
    segments: list[tuple[int, int, float]] = []
    stuff: dict[int, int] = {}
    rows = zip(stays, chosen.label_ids.tolist(), chosen.scores.tolist(), strict=True)
    for query, (stay, label, score) in enumerate(rows, start=1):
        if not stay:
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
    """Add up the runs of owners 1 to `count`."""
    owners = np.maximum(runs.values, 0)
    return np.bincount(owners, runs.lengths, count + 1)[1:].astype(np.int64)


def compete(
    chosen: Competitors, resizer: Resizer
) -> tuple[Int[Tensor, "x y"], Int[np.ndarray, " q"]]:
    """Give each pixel to a query, and count the pixels of each query's own mask.

    Returns:
        A transposed map of query index + 1, negative where the mask is below one half; and areas.
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
        # Where one query contends, these sums are its number, and its sign.
        numbers, ones = codes.float(), torch.ones(count, device=device)
        first, found = numbers @ contends.float(), ones @ (contends & inside).float()
        grid.fill(owners, torch.where(found > 0, first, -first))
        doubtful = (ones @ contends.float() > 1) | (ones @ (contends & mixed).float() > 0)
        for blocks, queries in by_count(contends & doubtful):
            for part in pieces(len(blocks), queries.shape[1] * grid.area, device):
                won = winners(chosen, grid, blocks[part], queries[part])
                grid.place(owners, blocks[part], won)
    return owners, own.cpu().numpy()


def contenders(
    lowest: Float[Tensor, "q n"], highest: Float[Tensor, "q n"], scores: Float[Tensor, " q"]
) -> Bool[Tensor, "q n"]:
    """Leave out queries whose best case in a block is worse than another's worst case."""
    worst = (lowest.sigmoid() * scores[:, None]).amax(0)
    return highest.sigmoid() * scores[:, None] >= worst * (1 - SLACK)


def areas(
    mask_logits: Float[Tensor, "q h w"], grid: Grid, mixed: Bool[Tensor, "q n"]
) -> Int[Tensor, " q"]:
    """Count pixels with a mask of one half or more, where blocks hold both kinds."""
    found = torch.zeros(len(mixed), dtype=torch.long, device=mixed.device)
    queries, blocks = mixed.nonzero().unbind(1)
    for part in pieces(len(blocks), grid.area, mixed.device):
        where = spots(grid, blocks[part], mask_logits.shape[2])
        logits = where.resize(mask_logits, queries[part, None])
        inside = torch.ge(logits, 0, out=logits)
        found.index_add_(0, queries[part], inside.sum((1, 2, 3)).long())
    return found


def winners(
    chosen: Competitors, grid: Grid, blocks: Int[Tensor, " m"], queries: Int[Tensor, "m n"]
) -> Int[Tensor, "m a b"]:
    """Give each pixel of some blocks its query + 1, negative where that mask is below one half.

    Queries are in order, so that of equals the first keeps the pixel.
    """
    where = spots(grid, blocks, chosen.mask_logits.shape[2])
    probs = where.resize(chosen.mask_logits, queries).sigmoid_()
    probs.mul_(chosen.scores[queries][..., None, None])
    owner, best = first_best(queries, probs)
    inside = best >= chosen.scores.div(2)[owner]
    return torch.where(inside, owner + 1, -1 - owner)
