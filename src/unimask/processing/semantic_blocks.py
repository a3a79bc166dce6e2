"""Class scores in blocks of pixels: their bounds, and their values where these do not suffice."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.processing.blocks import Grid, block_resizer, iterate_grids, logit_bounds, source_grid
from unimask.processing.resize import Resizer

Activation = Callable[[Tensor], Tensor]


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
        activation: Function from mask logits to mask probabilities, in place.
    """

    probs: Float[Tensor, "k q"]
    mask_logits: Float[Tensor, "q h w"]
    grid: Grid
    source: Grid
    middle: Float[Tensor, "q n"]
    half: Float[Tensor, "q n"]
    activation: Activation = Tensor.sigmoid_

    @classmethod
    def compute(
        cls,
        probs: Float[Tensor, "k q"],
        mask_logits: Float[Tensor, "q h w"],
        grids: tuple[Grid, Grid],
        activation: Activation = Tensor.sigmoid_,
    ) -> "GridBounds":
        """Compute the bounds of a grid, which is passed with its source."""
        grid, source = grids
        lowest, highest = (activation(logits) for logits in logit_bounds(mask_logits, source))
        half = highest.sub_(lowest).div_(2)
        middle = lowest.add_(half)
        return cls(probs, mask_logits, grid, source, middle, half, activation)


def iterate_grid_pairs(
    masks: Resizer, scores: Resizer | None, device: torch.device, count: int
) -> Iterator[tuple[Grid, Grid]]:
    """Yield the grids of the output map, each with the grid on which masks are summed.

    Args:
        masks: Resizing of mask logits.
        scores: Subsequent resizing of class scores, or None.
        device: Device of the logits.
        count: Number of values in memory per block.
    """
    for grid in iterate_grids(scores or masks, device, count):
        yield grid, grid if scores is None else source_grid(grid, masks)


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
    masks = part.activation(interpolation.resize(part.mask_logits, undecided.queries))
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
