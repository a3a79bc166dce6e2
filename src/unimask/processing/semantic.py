"""Semantic segmentation: the best class of every pixel."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.processing.blocks import batch_slices, first_argmax, label_map_dtype
from unimask.processing.class_shares import (
    mask_activation,
    query_class_probs,
    remove_uncertain_pixels,
)
from unimask.processing.resize import Resizer
from unimask.processing.semantic_blocks import (
    GridBounds,
    UndecidedBlocks,
    class_scores,
    group_by_size,
    iterate_grid_pairs,
    select_class_probs,
)

ROUNDING_TOLERANCE = 1e-4
"""Relative tolerance for rounding of a bound."""

TIE_TOLERANCE = 2.5e-7
"""Relative difference to a block's best score below which classes count as equal."""

MAX_CANDIDATE_CLASSES = 8
"""Number of candidate classes per block above which candidates are reduced first."""

PROBE_CLASSES, PROBE_QUERIES = 4, 8
"""Number of classes and of queries computed for that; most blocks have two or three masks."""


def semantic_map(
    class_logits: Float[Tensor, "q k"],
    mask_logits: Float[Tensor, "q h w"],
    masks: Resizer,
    scores: Resizer | None = None,
    *,
    threshold: float | None = None,
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
        threshold: Share of the class in the pixel's class scores below which the pixel gets no
            class (-1); None for no such limit.
    """
    mask_logits = mask_logits.float().contiguous()
    probs = query_class_probs(class_logits)
    activation = Tensor.sigmoid_ if threshold is None else mask_activation(probs, mask_logits)
    size, device = (scores or masks).size, mask_logits.device
    labels = torch.empty(size[::-1], dtype=label_map_dtype(len(probs)), device=device)
    for grids in iterate_grid_pairs(masks, scores, device, max(probs.shape)):
        part = GridBounds.compute(probs, mask_logits, grids)
        assign_classes(part, labels)
        if threshold is not None:
            if activation is not Tensor.sigmoid_:
                part = GridBounds.compute(probs, mask_logits, grids, activation)
            remove_uncertain_pixels(part, labels, threshold)
    return labels


def assign_classes(part: GridBounds, labels: Int[Tensor, "x y"]) -> None:
    """Write the best class of every pixel of a grid into the transposed map."""
    best_classes = (part.probs @ part.middle).argmax(0)
    part.grid.fill_blocks(labels, best_classes)
    for undecided in undecided_blocks(part, best_classes):
        block_scores = class_scores(part, undecided, part.middle[:, undecided.blocks])
        part.grid.write_pixels(
            labels, undecided.blocks, first_argmax(undecided.classes, block_scores)[0]
        )


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
