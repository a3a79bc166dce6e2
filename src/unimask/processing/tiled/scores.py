"""Class scores of every pixel of a tile, to be blended with those of other tiles."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unimask.processing.class_shares import mask_activation, query_class_probs
from unimask.processing.panoptic import PanopticSegment
from unimask.processing.resize import Resizer, Size

MIN_PROB = 2.0**-12
"""Class probability below which a query does not count for a class."""

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
    queries = (totals > MIN_PROB).nonzero()[:, 0]
    size = tile.input_size if resize_scores else tile.original_size
    scores = probs.new_zeros(len(probs), size[0] * size[1])
    for part, logits in resized_masks(tile, queries, size):
        scores.addmm_(probs[:, part], activation(logits).flatten(1))
    maps = scores.unflatten(1, size)
    return ClassScores(tuple(names), maps if size == tile.original_size else scaled(maps, tile))


def stuff_scores(tile: TileLogits, is_thing: tuple[bool, ...]) -> ClassScores:
    """Return the semantic scores of stuff in a tile, and as one more class the best of things."""
    semantic = semantic_scores(tile, resize_scores=False, with_total=False)
    maps, flags = semantic.scores, [is_thing[label] for label in semantic.classes]
    things = maps[[index for index, flag in enumerate(flags) if flag]]
    stuff = [index for index, flag in enumerate(flags) if not flag]
    best = things.amax(0) if len(things) else maps.new_zeros(maps.shape[1:])
    classes = (*(semantic.classes[index] for index in stuff), len(is_thing))
    return ClassScores(classes, torch.cat([maps[stuff], best[None]]))


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
    return F.interpolate(maps[None], tile.original_size, mode="bilinear", align_corners=False)[0]
