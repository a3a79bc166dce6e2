"""Semantic segmentation: the best class of every pixel."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unimask.processing.resize import Resizer, axis_weights, support
from unimask.processing.tiles import Size, Tile, best_row, place, tiles

Finish = Callable[[Float[Tensor, "k i"]], Float[Tensor, "k n"]]

FAVOURITES = 16
"""Classes that are tried first in a tile: few tiles show more."""


def semantic_map(
    class_logits: Float[Tensor, "q k"], mask_logits: Float[Tensor, "q h w"], resizer: Resizer
) -> Int[Tensor, "y x"]:
    """Resize masks, then add them up by class and take the best (the rule "masks").

    A class scores the sum over queries of class probability times mask probability; "no object"
    never wins.
    """
    mask_logits, probs = mask_logits.float(), class_probs(class_logits)
    labels = torch.empty(resizer.size, dtype=torch.int32, device=mask_logits.device)
    for tile in tiles(resizer.size):
        patch = resizer.patch(mask_logits, tile)
        masks = resizer.resize(patch, tile).sigmoid_().flatten(1)
        place(labels, tile, winners(probs, masks, highest(patch), lambda scores: scores))
    return labels


def semantic_map_of_scores(
    class_logits: Float[Tensor, "q k"],
    mask_logits: Float[Tensor, "q h w"],
    padded_size: Size,
    input_size: Size,
    original_size: Size,
) -> Int[Tensor, "y x"]:
    """Add up masks by class at the padded size, then resize the scores (the rule "scores").

    This is what the authors' semantic-only checkpoints do.
    """
    mask_logits, probs = mask_logits.float(), class_probs(class_logits)
    logits_size = (mask_logits.shape[-2], mask_logits.shape[-1])
    to_input = Resizer.between(logits_size, padded_size, input_size, input_size)
    rows, columns = (axis_weights(*axis) for axis in zip(input_size, original_size, strict=True))
    labels = torch.empty(original_size, dtype=torch.int32, device=mask_logits.device)
    for tile in tiles(original_size):
        tile_rows, tile_columns = rows[tile.top : tile.bottom], columns[tile.left : tile.right]
        source = Tile(*support(tile_rows), *support(tile_columns))
        down = tile_rows[:, source.top : source.bottom].to(probs.device)
        across = tile_columns[:, source.left : source.right].to(probs.device)
        patch = to_input.patch(mask_logits, source)
        masks = to_input.resize(patch, source).sigmoid_().flatten(1)
        finish = between(down, across)
        place(labels, tile, winners(probs, masks, highest(patch), finish))
    return labels


def class_probs(class_logits: Float[Tensor, "q k"]) -> Float[Tensor, "n q"]:
    """Give class probabilities without "no object", which takes its share all the same."""
    return class_logits.float().softmax(-1)[:, :-1].T.contiguous()


def highest(patch: Float[Tensor, "q i j"]) -> Float[Tensor, " q"]:
    """Give the largest mask probability that a query can reach in the patch's tile."""
    return patch.flatten(1).amax(1).sigmoid()


def between(down: Float[Tensor, "y i"], across: Float[Tensor, "x j"]) -> Finish:
    """Give the step that resizes flat class scores by two matrices of weights."""

    def resize(scores: Float[Tensor, "k i"]) -> Float[Tensor, "k n"]:
        maps = scores.view(-1, down.shape[1], across.shape[1])
        return (down @ maps @ across.T).flatten(1)

    return resize


def winners(
    probs: Float[Tensor, "k q"],
    masks: Float[Tensor, "q i"],
    highest: Float[Tensor, " q"],
    finish: Finish,
) -> Int[Tensor, " n"]:
    """Give the best class of each pixel of a tile, computing few classes where few can win.

    No class scores more than its probabilities times the highest mask probabilities. Once the
    classes that might score most are computed, those that stay below the worst pixel's best are
    out of the race.
    """
    ceiling = probs @ highest
    tried = ceiling.topk(min(FAVOURITES, len(ceiling))).indices.sort().values
    scores = finish(probs[tried] @ masks)
    floor = scores.amax(0).min() * (1 - 1e-4)  # the rest is for rounding
    possible = (ceiling >= floor).nonzero()[:, 0]
    if not torch.isin(possible, tried).all():
        tried = possible
        scores = finish(probs[tried] @ masks)
    return tried[best_row(scores)]
