"""Instance segmentation: masks with scores that may overlap."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.formats.run_length import RunLength
from unimask.processing.block_runs import MaskRuns
from unimask.processing.blocks import Grid, batch_slices, block_resizer, iterate_grids, logit_bounds
from unimask.processing.resize import Resizer

MAX_PARTIAL_PIXELS = 2**25
"""Number of pixels of partly covered blocks computed at a time; it bounds the group of masks."""


class Instance(NamedTuple):
    """One object: its class, score and mask, and the query that predicted it."""

    label_id: int
    score: float
    rle: RunLength
    query: int


class CoveredBlocks(NamedTuple):
    """Blocks of a grid that masks cover entirely (whole) or may cover partly (mixed)."""

    grid: Grid
    full: Bool[Tensor, "q n"]
    partial: Bool[Tensor, "q n"]

    def select(self, queries: slice) -> "CoveredBlocks":
        """Return the selection for some queries."""
        return self._replace(full=self.full[queries], partial=self.partial[queries])

    def logits(
        self, mask_logits: Float[Tensor, "q h w"], selected: Bool[Tensor, "q n"]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield blocks, queries and logits (m, a, b) of the chosen pairs in pieces."""
        queries, blocks = selected.nonzero().unbind(1)
        for part in batch_slices(len(blocks), self.grid.area, mask_logits.device):
            interpolation = block_resizer(self.grid, blocks[part], mask_logits.shape[2])
            logits = interpolation.resize(mask_logits, queries[part, None])[:, 0]
            yield blocks[part], queries[part], logits


class QueryClassPairs(NamedTuple):
    """Pairs of query and class in descending order of score."""

    queries: Tensor
    label_ids: Tensor
    scores: Tensor


def instances(
    class_logits: Float[Tensor, "q k"],
    mask_logits: Float[Tensor, "q h w"],
    resizer: Resizer,
    is_thing: tuple[bool, ...],
    top_k: int,
    threshold: float | None,
) -> list[Instance]:
    """Select the best pairs of query and class (`instance_inference` of the authors).

    The `top_k` most probable pairs are kept, then only those of things. A pixel belongs to a mask
    if its logit is positive; the score is the class probability times the mean mask probability
    inside the mask. Empty masks and scores below `threshold` are left out.

    Returns:
        Objects in descending order of score.
    """
    pairs = select_pairs(class_logits, is_thing, top_k, threshold)
    if not len(pairs.queries):
        return []
    unique, place = pairs.queries.unique(return_inverse=True)
    masks, quality = compute_masks(mask_logits[unique].float().contiguous(), resizer)
    objects = []
    queries = unique.tolist()
    rows = zip(place.tolist(), pairs.label_ids.tolist(), pairs.scores.tolist(), strict=True)
    for index, label, score in rows:
        total = score * quality[index]
        if masks[index].area and (threshold is None or total >= threshold):
            objects.append(Instance(label, total, masks[index], queries[index]))
    return sorted(objects, key=lambda instance: -instance.score)


def remove_hidden_instances(objects: list[Instance], min_visible: float) -> list[Instance]:
    """Remove objects that are mostly hidden by objects with higher scores.

    In descending order of score, an object is kept if at least `min_visible` of its pixels are not
    covered by objects kept before it. Masks are not changed: kept objects may still overlap.
    """
    if not objects or min_visible <= 0:
        return objects
    height, width = objects[0].rle.size
    occupied = np.zeros(height * width, bool)
    visible_objects = []
    for instance in objects:
        start, mask = instance.rle.span
        before = occupied[start : start + len(mask)]
        if np.count_nonzero(mask & ~before) >= min_visible * instance.rle.area:
            before |= mask
            visible_objects.append(instance)
    return visible_objects


def select_pairs(
    class_logits: Float[Tensor, "q k"],
    is_thing: tuple[bool, ...],
    top_k: int,
    threshold: float | None,
) -> QueryClassPairs:
    """Select pairs, without those whose class probability alone is below `threshold`."""
    probs = class_logits.float().softmax(-1)[:, :-1]
    scores, pairs = probs.flatten().topk(min(top_k, probs.numel()))
    queries = pairs.div(probs.shape[1], rounding_mode="floor")
    label_ids = pairs % probs.shape[1]
    selected = torch.tensor(is_thing, device=label_ids.device)[label_ids]
    if threshold is not None:
        selected &= scores >= threshold
    return QueryClassPairs(queries[selected], label_ids[selected], scores[selected])


def compute_masks(
    mask_logits: Float[Tensor, "q h w"], resizer: Resizer
) -> tuple[list[RunLength], list[float]]:
    """Compute each query's mask and its mean probability inside the mask."""
    parts = list(iterate_covered_blocks(mask_logits, resizer))
    pixels = sum(part.grid.area * part.partial.sum(1, dtype=torch.long) for part in parts)
    masks: list[RunLength] = []
    kind = sum_dtype(mask_logits.device)
    sums = torch.zeros(len(mask_logits), dtype=kind, device=mask_logits.device)
    for group in group_masks(torch.as_tensor(pixels).tolist()):
        runs = MaskRuns(resizer.size, group.stop - group.start)
        for part in parts:
            sums[group] += add_to_masks(mask_logits[group], part.select(group), runs)
        masks += runs.to_run_lengths()
    quality = [total / max(1, rle.area) for total, rle in zip(sums.tolist(), masks, strict=True)]
    return masks, quality


def iterate_covered_blocks(
    mask_logits: Float[Tensor, "q h w"], resizer: Resizer
) -> Iterator[CoveredBlocks]:
    """Yield each grid with the blocks that masks cover entirely, or may cover partly."""
    for grid in iterate_grids(resizer, mask_logits.device, len(mask_logits)):
        lowest, highest = logit_bounds(mask_logits, grid)
        full = lowest > 0
        yield CoveredBlocks(grid, full, (highest > 0) & ~full)


def group_masks(pixels: list[int]) -> Iterator[slice]:
    """Group masks so that the pixels of their partly covered blocks fit into memory."""
    start, total = 0, 0
    for index, number in enumerate(pixels):
        if index > start and total + number > MAX_PARTIAL_PIXELS:
            yield slice(start, index)
            start, total = index, 0
        total += number
    yield slice(start, len(pixels))


def add_to_masks(
    mask_logits: Float[Tensor, "q h w"], part: CoveredBlocks, runs: MaskRuns
) -> Float[Tensor, " q"]:
    """Add a part of the masks to `runs`; return the sum of each mask's probabilities inside it."""
    kind = sum_dtype(mask_logits.device)
    sums = torch.zeros(len(mask_logits), dtype=kind, device=mask_logits.device)
    for _, queries, logits in part.logits(mask_logits, part.full):
        sums.index_add_(0, queries, logits.sigmoid_().sum((1, 2)).to(kind))
    for blocks, queries, logits in part.logits(mask_logits, part.partial):
        inside = logits > 0
        sums.index_add_(0, queries, logits.sigmoid_().mul_(inside).sum((1, 2)).to(kind))
        runs.add_partial_blocks(part.grid, queries, blocks, inside)
    runs.add_full_blocks(part.grid, part.full)
    return sums


def sum_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype of sums over whole masks; Apple's GPUs have no float64."""
    return torch.float64 if device.type in ("cpu", "cuda") else torch.float32
