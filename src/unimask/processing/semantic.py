"""Semantic segmentation: the best class of every pixel."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.processing.blocks import (
    Grid,
    extremes,
    first_best,
    grids,
    map_type,
    pieces,
    sources,
    spots,
)
from unimask.processing.resize import Resizer

SLACK = 1e-4
"""Share of a bound that is left to rounding."""

TIE = 2.5e-7
"""Share of a block's best score by which a class may fall short and still count as equal."""

MANY = 8
"""Classes of a block that are too many to be computed without a second look."""

TRIED, MAIN = 4, 8
"""Classes and queries of that look: in most blocks two or three masks meet."""


class Doubt(NamedTuple):
    """Blocks whose pixels must be computed, with the classes and the queries that matter there."""

    blocks: Int[Tensor, " m"]
    classes: Int[Tensor, "m n"]
    queries: Int[Tensor, "m _"]


class Part(NamedTuple):
    """What decides a grid of blocks.

    Attributes:
        probs: Class probabilities of the queries.
        mask_logits: Of every query.
        grid: The blocks.
        source: The blocks of the map on which masks are added up: `grid`, or what it reads.
        middle: The middle between the extremes of a mask's probability in a block.
        half: How far they lie from it.
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
    """Give every pixel its best class; the map is transposed.

    A class scores the sum over queries of class probability times mask probability; "no object"
    takes its share of probability, and never wins.

    Args:
        class_logits: Per query; the last column is "no object".
        mask_logits: Per query.
        masks: Resizes mask logits.
        scores: Then resizes the classes' scores, as the authors' semantic-only checkpoints do
            (the rule "scores"); None decides at once (the rule "masks").
    """
    mask_logits = mask_logits.float().contiguous()
    probs = class_logits.float().softmax(-1)[:, :-1].T.contiguous()
    size, device = (scores or masks).size, mask_logits.device
    labels = torch.empty(size[::-1], dtype=map_type(len(probs)), device=device)
    for grid in grids(scores or masks, device, max(probs.shape)):
        source = grid if scores is None else sources(grid, masks)
        lowest, highest = (logits.sigmoid_() for logits in extremes(mask_logits, source))
        half = highest.sub_(lowest).div_(2)
        middle = lowest.add_(half)
        part = Part(probs, mask_logits, grid, source, middle, half)
        favourites = (probs @ middle).argmax(0)
        grid.fill(labels, favourites)
        for doubt in doubts(part, favourites):
            found = class_scores(part, doubt, middle[:, doubt.blocks])
            grid.place(labels, doubt.blocks, first_best(doubt.classes, found)[0])
    return labels


def doubts(part: Part, favourites: Int[Tensor, " n"]) -> Iterator[Doubt]:
    """Find the blocks that more than one class may win, those of like effort together.

    A query whose mask hardly varies in a block, or that says the same of its classes, need not be
    computed there: its middle does.
    """
    marks, margins = candidates(part, favourites)
    leave_out(part, marks)
    counts = marks.sum(0)
    for count, blocks in by_size(counts, counts > 1, len(marks)):
        for piece in pieces(len(blocks), count * part.probs.shape[1], marks.device):
            some = blocks[piece]
            classes = marks[:, some].T.byte().topk(count).indices.sort().values
            weights = of_classes(part.probs, classes)
            matters = (weights.amax(1) - weights.amin(1)) * part.half[:, some].T
            ordered, queries = matters.sort(descending=True)
            rest = ordered.flip(1).cumsum(1).flip(1)
            needed = (rest > margins[some, None]).sum(1)
            for number, places in by_size(needed, needed >= 0, part.probs.shape[1]):
                for few in pieces(len(places), number * part.source.area, marks.device):
                    place = places[few]
                    yield Doubt(some[place], classes[place], queries[place, :number])


def candidates(
    part: Part, favourites: Int[Tensor, " n"]
) -> tuple[Bool[Tensor, "k n"], Float[Tensor, " n"]]:
    """Mark the classes that may win a pixel of each block, the favourite among them.

    Against the favourite a class gains most where each query helps it as far as its mask goes.

    Returns:
        The marks; and per block what counts as equal.
    """
    probs, middle, half = part.probs, part.middle, part.half
    marks = torch.empty(len(probs), len(favourites), dtype=torch.bool, device=probs.device)
    margins = torch.empty_like(middle[0])
    order = favourites.argsort(stable=True)
    names, counts = favourites[order].unique_consecutive(return_counts=True)
    for name, blocks in zip(names.tolist(), order.split(counts.tolist()), strict=True):
        some_middle, some_half = middle[:, blocks], half[:, blocks]
        margin = TIE * (probs[name] @ (some_middle + some_half)).clamp(max=1)
        gain = probs - probs[name]
        marks[:, blocks] = gain @ some_middle + gain.abs() @ some_half >= -margin
        margins[blocks] = margin
    return marks, margins


def leave_out(part: Part, marks: Bool[Tensor, "k n"]) -> None:
    """Unmark classes that cannot reach the worst pixel's best, where many are marked.

    A few classes are computed to know that, with the queries that move them most; what the others
    add is at least their least. These classes stay.
    """
    if len(marks) <= MANY:
        return
    (many,) = (marks.sum(0) > MANY).nonzero(as_tuple=True)
    number = min(MAIN, len(part.half))
    for piece in pieces(len(many), max(part.probs.shape), marks.device):
        blocks = many[piece]
        middle, half = part.middle[:, blocks], part.half[:, blocks]
        tried = (part.probs @ middle).topk(TRIED, dim=0).indices
        weights = of_classes(part.probs, tried.T)
        queries = (weights.amax(1) * half.T).topk(number).indices
        floor = torch.cat(
            [
                least_best(part, Doubt(blocks[few], tried.T[few], queries[few]))
                for few in pieces(len(blocks), number * part.source.area, marks.device)
            ]
        )
        possible = part.probs @ (middle + half) >= floor * (1 - SLACK)
        marks[:, blocks] &= possible.scatter(0, tried, True)


def least_best(part: Part, doubt: Doubt) -> Float[Tensor, " m"]:
    """Give what the best class scores at least, wherever in a block."""
    least = part.middle[:, doubt.blocks] - part.half[:, doubt.blocks]
    return class_scores(part, doubt, least).amax(1).flatten(1).amin(1)


def by_size(
    counts: Int[Tensor, " n"], wanted: Bool[Tensor, " n"], most: int
) -> Iterator[tuple[int, Int[Tensor, " m"]]]:
    """Group places whose counts have the same next power of two; give that, and the places."""
    (chosen,) = wanted.nonzero(as_tuple=True)
    powers = counts[chosen].clamp(min=1).log2().ceil()
    order = powers.argsort(stable=True)
    names, numbers = powers[order].unique_consecutive(return_counts=True)
    for name, places in zip(names.tolist(), order.split(numbers.tolist()), strict=True):
        yield min(2 ** int(name), most), chosen[places]


def class_scores(
    part: Part, doubt: Doubt, others: Float[Tensor, "q m"]
) -> Float[Tensor, "m n a b"]:
    """Add up masks by class in some blocks, and resize the sums where that comes later.

    Queries that are not to be computed have the same mask probability everywhere in a block.
    """
    where = spots(part.source, doubt.blocks, part.mask_logits.shape[2])
    masks = where.resize(part.mask_logits, doubt.queries).sigmoid_()
    weights = of_classes(part.probs, doubt.classes)
    rest = torch.bmm(weights, others.T.scatter(1, doubt.queries, 0)[:, :, None])
    weights = weights.gather(2, doubt.queries[:, None].expand(-1, weights.shape[1], -1))
    scores = torch.baddbmm(rest, weights, masks.flatten(2))
    scores = scores.unflatten(2, masks.shape[2:])
    if part.source is part.grid:
        return scores
    columns = part.grid.columns.weights[doubt.blocks % part.grid.shape[1]]
    rows = part.grid.rows.weights[doubt.blocks // part.grid.shape[1]]
    return columns[:, None] @ scores @ rows.mT[:, None]


def of_classes(probs: Float[Tensor, "k q"], classes: Int[Tensor, "m n"]) -> Float[Tensor, "m n q"]:
    """Give the probabilities of some classes."""
    return probs.index_select(0, classes.flatten()).view(*classes.shape, -1)
