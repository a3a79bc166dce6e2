"""Semantic segmentation: the best class of every pixel."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unimask.processing.resize import Resizer, Size, Tile, axis_weights, support, tiles


def semantic_map(
    class_logits: Float[Tensor, "q k"], mask_logits: Float[Tensor, "q h w"], resizer: Resizer
) -> Int[Tensor, "y x"]:
    """Resize masks, then add them up by class and take the best (the rule "masks").

    A class scores the sum over queries of class probability times mask probability; "no object"
    never wins.
    """
    probs = class_logits.float().softmax(-1)[:, :-1].T.contiguous()
    labels = torch.empty(resizer.size, dtype=torch.int32, device=mask_logits.device)
    for tile in tiles(resizer.size):
        masks = resizer.resize(resizer.patch(mask_logits.float(), tile), tile).sigmoid_()
        best = torch.mm(probs, masks.flatten(1)).argmax(0)
        place(labels, tile, best)
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
    probs = class_logits.float().softmax(-1)[:, :-1].T.contiguous()
    logits_size = (mask_logits.shape[-2], mask_logits.shape[-1])
    to_input = Resizer.between(logits_size, padded_size, input_size, input_size)
    rows, columns = (axis_weights(*axis) for axis in zip(input_size, original_size, strict=True))
    labels = torch.empty(original_size, dtype=torch.int32, device=mask_logits.device)
    for tile in tiles(original_size):
        tile_rows, tile_columns = rows[tile.top : tile.bottom], columns[tile.left : tile.right]
        source = Tile(*support(tile_rows), *support(tile_columns))
        masks = to_input.resize(to_input.patch(mask_logits.float(), source), source).sigmoid_()
        scores = torch.mm(probs, masks.flatten(1)).view(-1, *masks.shape[1:])
        down = tile_rows[:, source.top : source.bottom].to(scores.device)
        across = tile_columns[:, source.left : source.right].to(scores.device)
        place(labels, tile, (down @ scores @ across.T).flatten(1).argmax(0))
    return labels


def place(labels: Int[Tensor, "y x"], tile: Tile, values: Int[Tensor, " n"]) -> None:
    """Write a tile's values, row by row, into the map."""
    shape = (tile.bottom - tile.top, tile.right - tile.left)
    labels[tile.top : tile.bottom, tile.left : tile.right] = values.view(shape).to(labels.dtype)
