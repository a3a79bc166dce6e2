"""Class scores of every pixel of a tile, to be blended with those of other tiles."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unimask.processing.class_shares import mask_activation, query_class_probs
from unimask.processing.panoptic import PanopticSegment
from unimask.processing.resize import Resizer, Size
from unimask.processing.semantic_blocks import Activation

MIN_PROB = 2.0**-12
"""Class probability below which a query does not count for a class."""

MAX_LEFT_OUT = 2.0**-8
"""Largest sum of the scores of all queries that are left out because each of them is low."""

MAX_VALUES = 2**24
"""Number of mask probabilities at full size that are computed at a time."""


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
        logits_size = (self.mask_logits.shape[1], self.mask_logits.shape[2])
        return Resizer.between(logits_size, self.padded_size, self.input_size, self.original_size)


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
    queries = relevant_queries(probs, tile.mask_logits, activation)
    size = tile.input_size if resize_scores else tile.original_size
    scores = probs.new_zeros(len(probs), size[0] * size[1])
    for part, logits in resized_masks(tile, queries, size):
        scores.addmm_(probs[:, part], activation(logits).flatten(1))
    maps = scores.unflatten(1, size)
    return ClassScores(tuple(names), scaled(maps, tile) if resize_scores else maps)


def relevant_queries(
    probs: Float[Tensor, "k q"], mask_logits: Float[Tensor, "q h w"], activation: Activation
) -> Int[Tensor, " n"]:
    """Return the queries without which a score could change by more than `MAX_LEFT_OUT`."""
    peaks = activation(mask_logits.flatten(1).amax(1).float())
    highest, order = (probs.amax(0) * peaks).sort()
    return order[highest.cumsum(0) > MAX_LEFT_OUT].sort().values


def stuff_scores(tile: TileLogits, is_thing: tuple[bool, ...]) -> ClassScores:
    """Return the semantic scores of stuff in a tile, and as one more class the best of things.

    Scores are computed at the size of the mask logits, and their logits are resized, so that
    borders lie where those of resized masks do. That takes a fraction of the time of resizing all
    masks.
    """
    probs = query_class_probs(tile.class_logits)
    activation = mask_activation(probs, tile.mask_logits)
    queries = relevant_queries(probs, tile.mask_logits, activation)
    maps = activation(tile.mask_logits[queries].float()).flatten(1)
    scores = (probs[:, queries] @ maps).unflatten(1, tile.mask_logits.shape[1:])
    things = torch.tensor(is_thing, device=scores.device)
    stuff = (~things & (probs.amax(1) > MIN_PROB)).nonzero()[:, 0]
    best = scores[things].amax(0) if any(is_thing) else torch.zeros_like(scores[0])
    logits = torch.cat([scores[stuff], best[None]]).clamp(MIN_PROB, 1 - MIN_PROB).logit_()
    height, width = tile.input_size
    logits = F.interpolate(logits[None], tile.padded_size, mode="bilinear", align_corners=False)
    scores = scaled(logits[0, :, :height, :width], tile).sigmoid_()
    return ClassScores((*stuff.tolist(), len(is_thing)), scores)


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


def resized_masks(
    tile: TileLogits, queries: Tensor, size: Size
) -> Iterator[tuple[Tensor, Float[Tensor, "n h w"]]]:
    """Yield queries, some at a time, with their mask logits at the size of the input or pixels."""
    step = max(1, MAX_VALUES // max(tile.padded_size[0] * tile.padded_size[1], size[0] * size[1]))
    height, width = tile.input_size
    for part in queries.split(step):
        logits = tile.mask_logits[part][None].float()
        logits = F.interpolate(logits, tile.padded_size, mode="bilinear", align_corners=False)
        logits = logits[..., :height, :width]
        if size != tile.input_size:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        yield part, logits[0].contiguous()


def scaled(maps: Float[Tensor, "c h w"], tile: TileLogits) -> Float[Tensor, "c i j"]:
    """Resize maps of the size of the input to the pixels of the tile."""
    if tile.input_size == tile.original_size:
        return maps
    return F.interpolate(maps[None], tile.original_size, mode="bilinear", align_corners=False)[0]
