"""Share of a class in the class scores of a pixel, computed in blocks."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.processing.blocks import Grid, batch_slices, group_by_count
from unimask.processing.semantic_blocks import (
    Activation,
    GridBounds,
    UndecidedBlocks,
    class_scores,
    group_by_size,
    select_class_probs,
)

SHARE_TOLERANCE = 2.0**-20
"""Tolerance of a share; queries that change it by less are not computed in a block."""

ROUNDING_TOLERANCE = 1e-6
"""Tolerance for rounding when the bounds of a share are compared with a threshold."""


def query_class_probs(class_logits: Float[Tensor, "q k1"]) -> Float[Tensor, "k q"]:
    """Return the class probabilities of the queries, without "no object"."""
    return class_logits.float().softmax(-1)[:, :-1].T.contiguous()


def mask_activation(probs: Float[Tensor, "k q"], mask_logits: Float[Tensor, "q h w"]) -> Activation:
    """Return the function from mask logits to mask probabilities that defines shares.

    It is the sigmoid, except for networks that classify pixels (`PerPixelHead`): their queries are
    the classes for certain, and their mask logits are logarithms of class probabilities, so that
    shares are the softmax of the pixels' class scores.
    """
    is_per_pixel = probs.shape[0] == probs.shape[1] and bool(
        torch.eye(len(probs), device=probs.device).equal(probs) and mask_logits.amax() <= 0
    )
    return Tensor.exp_ if is_per_pixel else Tensor.sigmoid_


def remove_uncertain_pixels(part: GridBounds, labels: Int[Tensor, "x y"], threshold: float) -> None:
    """Set the pixels of a grid to -1 whose class has a share below `threshold`.

    A share is below the threshold t if the sum over queries of (class probability - t times the
    sum of class probabilities) times mask probability is negative. The bounds of the mask
    probabilities decide most blocks.
    """
    totals = part.probs.sum(0)
    for blocks, classes in group_by_count(present_values(part.grid, labels, len(part.probs))):
        for piece in batch_slices(len(blocks), classes.shape[1] * len(totals), labels.device):
            block, present = blocks[piece], classes[piece]
            gains = select_class_probs(part.probs, present) - threshold * totals
            middle, half = part.middle[:, block].T, part.half[:, block].T
            center = torch.bmm(gains, middle[..., None])[..., 0]
            spread = torch.bmm(gains.abs(), half[..., None])[..., 0]
            margin = ROUNDING_TOLERANCE * (totals @ (middle + half).T)[:, None]
            is_below = (center + spread < -margin).all(1)
            is_open = ~is_below & (center - spread < margin).any(1)
            below = block[is_below]
            none = torch.full((len(below), *part.grid.side[::-1]), -1, device=labels.device)
            part.grid.write_pixels(labels, below, none)
            for places, shares in pixel_shares(part, labels, block[is_open], present[is_open]):
                before = part.grid.read_pixels(labels, places)
                part.grid.write_pixels(labels, places, before.where(shares >= threshold, -1))


def pixel_shares(
    part: GridBounds, labels: Int[Tensor, "x y"], blocks: Int[Tensor, " m"], classes: Tensor
) -> Iterator[tuple[Int[Tensor, " m"], Float[Tensor, "m a b"]]]:
    """Yield blocks with the share of each pixel's class, 0 for pixels without a class.

    Args:
        part: Bounds of the grid.
        labels: Class of every pixel of the map; -1 for none.
        blocks: Blocks to compute.
        classes: Classes that occur in each block.
    """
    totals = part.probs.sum(0)
    extended = part._replace(probs=torch.cat([part.probs, totals[None]]))
    middle, half = part.middle[:, blocks].T, part.half[:, blocks].T
    ordered, queries = (totals * half).sort(descending=True)
    rest = ordered.flip(1).cumsum(1).flip(1)
    margin = SHARE_TOLERANCE * ((middle - half) @ totals)
    needed = (rest > margin[:, None]).sum(1)
    for number, places in group_by_size(needed, needed >= 0, len(totals)):
        values = max(number, classes.shape[1] + 1) * part.source.area
        for piece in batch_slices(len(places), values, labels.device):
            place = places[piece]
            block, present = blocks[place], classes[place]
            with_total = torch.cat([present, torch.full_like(present[:, :1], len(part.probs))], 1)
            undecided = UndecidedBlocks(block, with_total, queries[place, :number])
            scores = class_scores(extended, undecided, middle[place].T)
            is_class = present[:, :, None, None] == part.grid.read_pixels(labels, block)[:, None]
            own, total = scores[:, :-1].mul_(is_class).sum(1), scores[:, -1]
            smallest = torch.finfo(total.dtype).tiny
            yield block, own.div_(total.clamp(min=smallest)).clamp_(max=1)


def present_values(grid: Grid, ids: Int[Tensor, "x y"], count: int) -> Bool[Tensor, "v n"]:
    """Mark which of the values 0 to `count` - 1 occur in each block of a transposed map."""
    number = grid.shape[0] * grid.shape[1]
    present = torch.zeros(number, count + 1, dtype=torch.bool, device=ids.device)
    for piece in batch_slices(number, grid.area, ids.device):
        blocks = torch.arange(number, device=ids.device)[piece]
        values = grid.read_pixels(ids, blocks).flatten(1).long()
        values = values.where((values >= 0) & (values < count), count)
        present[piece] = present[piece].scatter(1, values, True)
    return present[:, :-1].T
