"""Class scores of every pixel of a tile, to be blended with those of other tiles."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unimask.processing.class_shares import mask_activation, query_class_probs
from unimask.processing.panoptic import PanopticSegment
from unimask.processing.resize import Axis, Resizer, Size
from unimask.processing.semantic_blocks import Activation

MIN_PROB = 2.0**-12
"""Class probability below which a query does not count for a class."""

MAX_LEFT_OUT = 2.0**-8
"""Largest sum of the scores of all queries that are left out because each of them is low."""

BLOCK = 64
"""Side in pixels of the blocks of a tile, each of which is computed with the queries it needs."""

STUFF_DENSITY = 2
"""Number of scores of stuff per mask logit along each axis. Between mask logits, masks are only
interpolated, so that more scores hardly change the borders of stuff.
"""


class TileLogits(NamedTuple):
    """Logits of a tile, and the sizes (height, width) that map them to its pixels.

    Attributes:
        class_logits: Class logits of each query; the last column is "no object".
        mask_logits: Mask logits of each query over the padded input.
        padded_size: Size of the network's input.
        input_size: Size of the tile within the input.
        original_size: Size of the tile in pixels of the image.
    """

    class_logits: Float[Tensor, "q k1"]
    mask_logits: Float[Tensor, "q h w"]
    padded_size: Size
    input_size: Size
    original_size: Size

    @property
    def resizer(self) -> Resizer:
        """Resizing of mask logits to the pixels of the tile."""
        return self.resizer_to(self.original_size)

    def resizer_to(self, size: Size) -> Resizer:
        """Return the resizing of mask logits to a size of the tile."""
        logits_size = (self.mask_logits.shape[1], self.mask_logits.shape[2])
        return Resizer.between(logits_size, self.padded_size, self.input_size, size)


class ClassScores(NamedTuple):
    """Scores of some classes, ascending, at every pixel of a tile."""

    classes: tuple[int, ...]
    scores: Float[Tensor, "c h w"]


def semantic_scores(tile: TileLogits, *, resize_scores: bool, with_total: bool) -> ClassScores:
    """Sum class probability times mask probability over queries, for each class that occurs.

    Args:
        tile: Logits of the tile.
        resize_scores: Whether scores are resized to the pixels instead of mask logits (the rule
            "scores" of semantic-only checkpoints).
        with_total: Whether the sum over all classes is added as one more class, the last.
    """
    probs = query_class_probs(tile.class_logits)
    activation = mask_activation(probs, tile.mask_logits)
    (classes,) = (probs.amax(1) > MIN_PROB).nonzero(as_tuple=True)
    if not len(classes):
        classes = probs.amax(1).argmax()[None]
    names = classes.tolist()
    totals, probs = probs.sum(0), probs[classes]
    if with_total:
        names, probs = [*names, tile.class_logits.shape[1] - 1], torch.cat([probs, totals[None]])
    resizer = tile.resizer_to(tile.input_size if resize_scores else tile.original_size)
    maps = block_scores(probs, tile.mask_logits, resizer, activation)
    return ClassScores(tuple(names), resized(maps, tile.original_size) if resize_scores else maps)


def block_scores(
    probs: Float[Tensor, "k q"],
    mask_logits: Float[Tensor, "q h w"],
    resizer: Resizer,
    activation: Activation,
) -> Float[Tensor, "k i j"]:
    """Sum class probability times probability of the resized mask over queries, block by block.

    Most masks are empty in most blocks; there, their queries are left out.
    """
    scores = probs.new_empty(len(probs), *resizer.size)
    rows, columns = (list(block_windows(axis, probs.device)) for axis in resizer)
    for row in rows:
        strip = mask_logits[:, row.inputs]
        highest = strip.amax(1).float()
        for column in columns:
            queries = relevant_queries(probs, activation(highest[:, column.inputs].amax(1)))
            part = strip[:, :, column.inputs][queries].float()
            masks = activation(row.weights @ part @ column.weights.T).flatten(1)
            block = (probs[:, queries] @ masks).unflatten(1, (len(row.weights), -1))
            scores[:, row.outputs, column.outputs] = block
    return scores


class BlockWindow(NamedTuple):
    """Outputs of a block along an axis, the inputs that they depend on, and the weights."""

    outputs: slice
    inputs: slice
    weights: Float[Tensor, "o p"]


def block_windows(axis: Axis, device: torch.device) -> Iterator[BlockWindow]:
    """Yield the blocks of an axis."""
    for start in range(0, len(axis.inputs), BLOCK):
        stop = min(start + BLOCK, len(axis.inputs))
        starts, (weights,) = axis.windows(torch.arange(start, stop)[None])
        first = int(starts[0])
        inputs = slice(first, first + weights.shape[1])
        yield BlockWindow(slice(start, stop), inputs, weights.to(device))


def relevant_queries(probs: Float[Tensor, "k q"], peaks: Float[Tensor, " q"]) -> Int[Tensor, " n"]:
    """Return the queries without which a score could change by more than `MAX_LEFT_OUT`.

    Args:
        probs: Class probabilities of the queries.
        peaks: Highest mask probability of each query.
    """
    highest, order = (probs.amax(0) * peaks).sort()
    return order[highest.cumsum(0) > MAX_LEFT_OUT].sort().values


def stuff_scores(tile: TileLogits, is_thing: tuple[bool, ...]) -> ClassScores:
    """Return the semantic scores of stuff in a tile, and as one more class the best of things.

    They are computed at up to `STUFF_DENSITY` scores per mask logit along each axis, and resized to
    the pixels.
    """
    logits_size = tile.mask_logits.shape[1:]
    sides = zip(tile.original_size, logits_size, tile.input_size, tile.padded_size, strict=True)
    rows, columns = (
        min(pixels, math.ceil(STUFF_DENSITY * logits * used / padded))
        for pixels, logits, used, padded in sides
    )
    coarse = tile._replace(original_size=(rows, columns))
    classes, maps = semantic_scores(coarse, resize_scores=False, with_total=False)
    things = [index for index, label in enumerate(classes) if is_thing[label]]
    stuff = [index for index, label in enumerate(classes) if not is_thing[label]]
    best = maps[things].amax(0) if things else torch.zeros_like(maps[0])
    names = (*(classes[index] for index in stuff), len(is_thing))
    scores = torch.cat([maps[stuff], best[None]])
    return ClassScores(names, resized(scores, tile.original_size))


def accepted_stuff(
    tile: TileLogits, segments: list[PanopticSegment], is_thing: tuple[bool, ...]
) -> ClassScores:
    """Return the stuff among `segments` as scores: 1 for the class of a pixel, 0 for others.

    One more class, the last, is 1 at pixels that are void or belong to things.
    """
    stuff = [segment for segment in segments if not is_thing[segment.label_id]]
    scores = torch.zeros(len(stuff) + 1, *tile.original_size)
    scores[-1] = 1
    for row, segment in zip(scores, stuff, strict=False):
        mask = torch.from_numpy(segment.rle.to_mask().copy())
        row[mask], scores[-1][mask] = 1, 0
    return ClassScores((*(segment.label_id for segment in stuff), len(is_thing)), scores)


def resized(maps: Float[Tensor, "c h w"], size: Size) -> Float[Tensor, "c i j"]:
    """Resize maps to a size in pixels."""
    if maps.shape[1:] == size:
        return maps
    return F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
