"""Semantic segmentation: the best class of every pixel."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.processing.blocks import (
    Grid,
    batch_slices,
    block_resizer,
    first_argmax,
    iterate_grids,
    label_map_dtype,
    logit_bounds,
    source_grid,
)
from unimask.processing.resize import Resizer

ROUNDING_TOLERANCE = 1e-4
"""Relative tolerance for rounding of a bound."""

TIE_TOLERANCE = 2.5e-7
"""Relative difference to a block's best score below which classes count as equal."""

MAX_CANDIDATE_CLASSES = 8
"""Number of candidate classes per block above which candidates are reduced first."""

PROBE_CLASSES, PROBE_QUERIES = 4, 8
"""Number of classes and of queries computed for that; most blocks have two or three masks."""


class UndecidedBlocks(NamedTuple):
    """Blocks whose pixels must be computed, with the classes and queries that matter there."""

    blocks: Int[Tensor, " m"]
    classes: Int[Tensor, "m n"]
    queries: Int[Tensor, "m _"]


class GridBounds(NamedTuple):
    """Bounds that decide the blocks of a grid.

    Attributes:
        probs: Class probabilities of the queries.
        mask_logits: Mask logits of every query.
        grid: Blocks of the output map.
        source: Blocks of the map on which masks are summed: `grid`, or its inputs.
        middle: Midpoint of the range of each mask's probability in each block.
        half: Half the width of that range.
    """

    probs: Float[Tensor, "k q"]
    mask_logits: Float[Tensor, "q h w"]
    grid: Grid
    source: Grid
    middle: Float[Tensor, "q n"]
    half: Float[Tensor, "q n"]


def semantic_map(
    class_logits: Float[Tensor, "q k"],
    mask_logits: Float[Tensor, "q h w"],
    masks: Resizer,
    scores: Resizer | None = None,
) -> Int[Tensor, "x y"]:
    """Compute the best class of every pixel; the map is transposed.

    The score of a class is the sum over queries of class probability times mask probability; "no
    object" takes part in the softmax but is never selected.

    Args:
        class_logits: Class logits of each query; the last column is "no object".
        mask_logits: Mask logits of each query.
        masks: Resizing of mask logits.
        scores: Subsequent resizing of class scores, as in the authors' semantic-only checkpoints
            (the rule "scores"), or None (the rule "masks").
    """
    mask_logits = mask_logits.float().contiguous()
    probs = class_logits.float().softmax(-1)[:, :-1].T.contiguous()
    size, device = (scores or masks).size, mask_logits.device
    labels = torch.empty(size[::-1], dtype=label_map_dtype(len(probs)), device=device)
    for grid in iterate_grids(scores or masks, device, max(probs.shape)):
        source = grid if scores is None else source_grid(grid, masks)
        lowest, highest = (logits.sigmoid_() for logits in logit_bounds(mask_logits, source))
        half = highest.sub_(lowest).div_(2)
        middle = lowest.add_(half)
        part = GridBounds(probs, mask_logits, grid, source, middle, half)
        best_classes = (probs @ middle).argmax(0)
        grid.fill_blocks(labels, best_classes)
        for undecided in undecided_blocks(part, best_classes):
            block_scores = class_scores(part, undecided, middle[:, undecided.blocks])
            grid.write_pixels(
                labels, undecided.blocks, first_argmax(undecided.classes, block_scores)[0]
            )
    return labels


def undecided_blocks(
    part: GridBounds, best_classes: Int[Tensor, " n"]
) -> Iterator[UndecidedBlocks]:
    """Yield the blocks that more than one class may win, grouped by computational effort.

    A query whose mask hardly varies in a block, or whose candidate classes have equal
    probabilities, is not computed there: its midpoint is used.
    """
    marks, margins = candidate_classes(part, best_classes)
    remove_impossible_classes(part, marks)
    counts = marks.sum(0)
    for count, blocks in group_by_size(counts, counts > 1, len(marks)):
        for piece in batch_slices(len(blocks), count * part.probs.shape[1], marks.device):
            batch = blocks[piece]
            classes = marks[:, batch].T.byte().topk(count).indices.sort().values
            weights = select_class_probs(part.probs, classes)
            matters = (weights.amax(1) - weights.amin(1)) * part.half[:, batch].T
            ordered, queries = matters.sort(descending=True)
            rest = ordered.flip(1).cumsum(1).flip(1)
            needed = (rest > margins[batch, None]).sum(1)
            for number, places in group_by_size(needed, needed >= 0, part.probs.shape[1]):
                for chunk in batch_slices(len(places), number * part.source.area, marks.device):
                    place = places[chunk]
                    yield UndecidedBlocks(batch[place], classes[place], queries[place, :number])


def candidate_classes(
    part: GridBounds, best_classes: Int[Tensor, " n"]
) -> tuple[Bool[Tensor, "k n"], Float[Tensor, " n"]]:
    """Mark the classes that may win a pixel of each block, including the provisional best.

    The largest possible gain of a class over the provisional best takes each query's mask at the
    bound that helps the class most.

    Returns:
        Marks, and per block the difference of scores that counts as equal.
    """
    probs, middle, half = part.probs, part.middle, part.half
    marks = torch.empty(len(probs), len(best_classes), dtype=torch.bool, device=probs.device)
    margins = torch.empty_like(middle[0])
    order = best_classes.argsort(stable=True)
    names, counts = best_classes[order].unique_consecutive(return_counts=True)
    for name, blocks in zip(names.tolist(), order.split(counts.tolist()), strict=True):
        block_middle, block_half = middle[:, blocks], half[:, blocks]
        margin = TIE_TOLERANCE * (probs[name] @ (block_middle + block_half)).clamp(max=1)
        gain = probs - probs[name]
        marks[:, blocks] = gain @ block_middle + gain.abs() @ block_half >= -margin
        margins[blocks] = margin
    return marks, margins


def remove_impossible_classes(part: GridBounds, marks: Bool[Tensor, "k n"]) -> None:
    """Unmark classes that cannot win any pixel, in blocks with more than a few marks.

    A few classes are computed with their most influential queries, and all other queries at their
    lower bound, for a lower bound of the best score. The computed classes stay marked.
    """
    if len(marks) <= MAX_CANDIDATE_CLASSES:
        return
    (crowded,) = (marks.sum(0) > MAX_CANDIDATE_CLASSES).nonzero(as_tuple=True)
    number = min(PROBE_QUERIES, len(part.half))
    for piece in batch_slices(len(crowded), max(part.probs.shape), marks.device):
        blocks = crowded[piece]
        middle, half = part.middle[:, blocks], part.half[:, blocks]
        probed = (part.probs @ middle).topk(PROBE_CLASSES, dim=0).indices
        weights = select_class_probs(part.probs, probed.T)
        queries = (weights.amax(1) * half.T).topk(number).indices
        floor = torch.cat(
            [
                best_score_lower_bound(
                    part, UndecidedBlocks(blocks[chunk], probed.T[chunk], queries[chunk])
                )
                for chunk in batch_slices(len(blocks), number * part.source.area, marks.device)
            ]
        )
        possible = part.probs @ (middle + half) >= floor * (1 - ROUNDING_TOLERANCE)
        marks[:, blocks] &= possible.scatter(0, probed, True)


def best_score_lower_bound(part: GridBounds, undecided: UndecidedBlocks) -> Float[Tensor, " m"]:
    """Compute a lower bound of the best class score over all pixels of each block."""
    lower_bound = part.middle[:, undecided.blocks] - part.half[:, undecided.blocks]
    return class_scores(part, undecided, lower_bound).amax(1).flatten(1).amin(1)


def group_by_size(
    counts: Int[Tensor, " n"], selection: Bool[Tensor, " n"], largest: int
) -> Iterator[tuple[int, Int[Tensor, " m"]]]:
    """Group positions by the next power of two of their counts; yield it and the positions."""
    (selected,) = selection.nonzero(as_tuple=True)
    powers = counts[selected].clamp(min=1).log2().ceil()
    order = powers.argsort(stable=True)
    names, numbers = powers[order].unique_consecutive(return_counts=True)
    for name, places in zip(names.tolist(), order.split(numbers.tolist()), strict=True):
        yield min(2 ** int(name), largest), selected[places]


def class_scores(
    part: GridBounds, undecided: UndecidedBlocks, default_probs: Float[Tensor, "q m"]
) -> Float[Tensor, "m n a b"]:
    """Sum mask probabilities by class in some blocks, and resize the sums if required.

    Queries that are not computed have a constant mask probability in each block.
    """
    interpolation = block_resizer(part.source, undecided.blocks, part.mask_logits.shape[2])
    masks = interpolation.resize(part.mask_logits, undecided.queries).sigmoid_()
    weights = select_class_probs(part.probs, undecided.classes)
    rest = torch.bmm(weights, default_probs.T.scatter(1, undecided.queries, 0)[:, :, None])
    weights = weights.gather(2, undecided.queries[:, None].expand(-1, weights.shape[1], -1))
    scores = torch.baddbmm(rest, weights, masks.flatten(2))
    scores = scores.unflatten(2, masks.shape[2:])
    if part.source is part.grid:
        return scores
    columns = part.grid.columns.weights[undecided.blocks % part.grid.shape[1]]
    rows = part.grid.rows.weights[undecided.blocks // part.grid.shape[1]]
    return columns[:, None] @ scores @ rows.mT[:, None]


def select_class_probs(
    probs: Float[Tensor, "k q"], classes: Int[Tensor, "m n"]
) -> Float[Tensor, "m n q"]:
    """Return the probabilities of selected classes per block."""
    return probs.index_select(0, classes.flatten()).view(*classes.shape, -1)
