"""Instance segmentation: masks with scores that may overlap."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.formats.run_length import RunLength
from unimask.processing.block_runs import MaskRuns
from unimask.processing.blocks import Grid, extremes, grids, pieces, spots
from unimask.processing.resize import Resizer

PART_BYTES = 2**25
"""Number of pixels of partly covered blocks computed at a time; it bounds the group of masks."""


class Instance(NamedTuple):
    """One object: its class, score and mask."""

    label_id: int
    score: float
    rle: RunLength


class CoveredBlocks(NamedTuple):
    """Blocks of a grid that masks cover entirely (whole) or may cover partly (mixed)."""

    grid: Grid
    whole: Bool[Tensor, "q n"]
    mixed: Bool[Tensor, "q n"]

    def of(self, queries: slice) -> "CoveredBlocks":
        """Return the selection for some queries."""
        return self._replace(whole=self.whole[queries], mixed=self.mixed[queries])

    def logits(
        self, mask_logits: Float[Tensor, "q h w"], chosen: Bool[Tensor, "q n"]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield blocks, queries and logits (m, a, b) of the chosen pairs in pieces."""
        queries, blocks = chosen.nonzero().unbind(1)
        for part in pieces(len(blocks), self.grid.area, mask_logits.device):
            where = spots(self.grid, blocks[part], mask_logits.shape[2])
            logits = where.resize(mask_logits, queries[part, None])[:, 0]
            yield blocks[part], queries[part], logits


class Chosen(NamedTuple):
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
    pairs = choose(class_logits, is_thing, top_k, threshold)
    if not len(pairs.queries):
        return []
    unique, place = pairs.queries.unique(return_inverse=True)
    masks, quality = draw(mask_logits[unique].float().contiguous(), resizer)
    objects = []
    rows = zip(place.tolist(), pairs.label_ids.tolist(), pairs.scores.tolist(), strict=True)
    for index, label, score in rows:
        total = score * quality[index]
        if masks[index].area and (threshold is None or total >= threshold):
            objects.append(Instance(label, total, masks[index]))
    return sorted(objects, key=lambda instance: -instance.score)


def remove_hidden_instances(found: list[Instance], min_visible: float) -> list[Instance]:
    """Remove objects that are mostly hidden by objects with higher scores.

    In descending order of score, an object is kept if at least `min_visible` of its pixels are not
    covered by objects kept before it. Masks are not changed: kept objects may still overlap.
    """
    if not found or min_visible <= 0:
        return found
    height, width = found[0].rle.size
    covered = np.zeros(height * width, bool)
    visible_objects = []
    for instance in found:
        start, mask = instance.rle.span
        before = covered[start : start + len(mask)]
        if np.count_nonzero(mask & ~before) >= min_visible * instance.rle.area:
            before |= mask
            visible_objects.append(instance)
    return visible_objects


def choose(
    class_logits: Float[Tensor, "q k"],
    is_thing: tuple[bool, ...],
    top_k: int,
    threshold: float | None,
) -> Chosen:
    """Select pairs, without those whose class probability alone is below `threshold`."""
    probs = class_logits.float().softmax(-1)[:, :-1]
    scores, pairs = probs.flatten().topk(min(top_k, probs.numel()))
    queries = pairs.div(probs.shape[1], rounding_mode="floor")
    label_ids = pairs % probs.shape[1]
    selected = torch.tensor(is_thing, device=label_ids.device)[label_ids]
    if threshold is not None:
        selected &= scores >= threshold
    return Chosen(queries[selected], label_ids[selected], scores[selected])


def draw(
    mask_logits: Float[Tensor, "q h w"], resizer: Resizer
) -> tuple[list[RunLength], list[float]]:
    """Compute each query's mask and its mean probability inside the mask."""
    parts = list(touched(mask_logits, resizer))
    pixels = sum(part.grid.area * part.mixed.sum(1, dtype=torch.long) for part in parts)
    masks: list[RunLength] = []
    kind = sum_type(mask_logits.device)
    sums = torch.zeros(len(mask_logits), dtype=kind, device=mask_logits.device)
    for group in groups(torch.as_tensor(pixels).tolist()):
        runs = MaskRuns(resizer.size, group.stop - group.start)
        for part in parts:
            sums[group] += draw_part(mask_logits[group], part.of(group), runs)
        masks += runs.joined()
    quality = [total / max(1, rle.area) for total, rle in zip(sums.tolist(), masks, strict=True)]
    return masks, quality


def touched(mask_logits: Float[Tensor, "q h w"], resizer: Resizer) -> Iterator[CoveredBlocks]:
    """Yield each grid with the blocks that masks cover entirely, or may cover partly."""
    for grid in grids(resizer, mask_logits.device, len(mask_logits)):
        lowest, highest = extremes(mask_logits, grid)
        whole = lowest > 0
        yield CoveredBlocks(grid, whole, (highest > 0) & ~whole)


def groups(pixels: list[int]) -> Iterator[slice]:
    """Group masks so that the pixels of their partly covered blocks fit into memory."""
    start, total = 0, 0
    for index, number in enumerate(pixels):
        if index > start and total + number > PART_BYTES:
            yield slice(start, index)
            start, total = index, 0
        total += number
    yield slice(start, len(pixels))


def draw_part(
    mask_logits: Float[Tensor, "q h w"], part: CoveredBlocks, runs: MaskRuns
) -> Float[Tensor, " q"]:
    """Add a part of the masks to `runs`; return the sum of each mask's probabilities inside it."""
    kind = sum_type(mask_logits.device)
    sums = torch.zeros(len(mask_logits), dtype=kind, device=mask_logits.device)
    for _, queries, logits in part.logits(mask_logits, part.whole):
        sums.index_add_(0, queries, logits.sigmoid_().sum((1, 2)).to(kind))
    for blocks, queries, logits in part.logits(mask_logits, part.mixed):
        inside = logits > 0
        sums.index_add_(0, queries, logits.sigmoid_().mul_(inside).sum((1, 2)).to(kind))
        runs.add_parts(part.grid, queries, blocks, inside)
    runs.add_whole(part.grid, part.whole)
    return sums


def sum_type(device: torch.device) -> torch.dtype:
    """Return the dtype of sums over whole masks; Apple's GPUs have no float64."""
    return torch.float64 if device.type in ("cpu", "cuda") else torch.float32
