"""Confidence of every pixel, computed from the few logits that a result keeps for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from unimask.formats.run_length import RunLength
from unimask.processing.blocks import (
    Grid,
    batch_slices,
    block_resizer,
    group_by_count,
    iterate_grids,
)
from unimask.processing.class_shares import (
    mask_activation,
    pixel_shares,
    present_values,
    query_class_probs,
)
from unimask.processing.compact_masks import TILE_SIDE, CompactMasks, tile_bounds, tile_counts
from unimask.processing.resize import Axis, Resizer
from unimask.processing.semantic_blocks import GridBounds, iterate_grid_pairs

SEGMENT_TOLERANCE = 2.0**-19
"""Change of a panoptic or instance confidence below which a tile of logits is not kept.

A pixel lies in up to four tiles, so no confidence changes by more than 2^-17.
"""

SHARE_TOLERANCE = 2.0**-12
"""Relative change of a pixel's class scores below which tiles of logits are not kept.

Semantic results keep logits of all queries, so they keep fewer of them, and in float16, whose
rounding changes shares by as much.
"""

IdMap = Integer[np.ndarray, "w h"]
"""Transposed map of the segment ids that own the pixels; 0 for none."""


class SegmentQuery(NamedTuple):
    """A query that predicted a segment; stuff segments may have several.

    Attributes:
        id: Id of the segment.
        label_id: Class of the segment.
        query: Index of the query.
        rle: Mask of the segment.
    """

    id: int
    label_id: int
    query: int
    rle: RunLength


@dataclass(frozen=True, eq=False)
class SegmentConfidence:
    """Confidence of panoptic and instance segmentation: class score times mask probability.

    Each row is a pair of segment and query.

    Attributes:
        masks: Mask logits of the distinct queries.
        resizer: Resizing of mask logits to the image.
        segment_ids: Segment of each row.
        places: Position of each row's query in `masks`.
        scores: Class probability of each row.
    """

    masks: CompactMasks
    resizer: Resizer
    segment_ids: Int[Tensor, " r"]
    places: Int[Tensor, " r"]
    scores: Float[Tensor, " r"]

    @classmethod
    def build(
        cls,
        class_logits: Float[Tensor, "q k1"],
        mask_logits: Float[Tensor, "q h w"],
        resizer: Resizer,
        members: Sequence[SegmentQuery],
    ) -> "SegmentConfidence":
        """Keep the mask logits of the segments' queries around their segments."""
        device = class_logits.device
        unique, inverse = np.unique([member.query for member in members], return_inverse=True)
        used_queries = torch.from_numpy(unique.astype(np.int64)).to(device)
        places = torch.from_numpy(inverse.astype(np.int64))
        label_ids = torch.tensor([member.label_id for member in members]).long()
        probs = class_logits[used_queries].float().softmax(-1)
        scores = probs[places.to(device), label_ids.to(device)].cpu()
        used = mask_logits[used_queries]
        highest_scores = torch.zeros(len(unique)).scatter_reduce_(0, places, scores, "amax")
        lowest, highest = tile_bounds(used, resizer)
        change = highest_scores.to(device)[:, None] * (highest.sigmoid() - lowest.sigmoid())
        near = tiles_near_segments(mask_logits, resizer, members, places.tolist(), len(unique))
        masks = CompactMasks.compress(
            used,
            (change > SEGMENT_TOLERANCE) & near.to(device),
            (lowest + highest) / 2,
            mask_logits.dtype,
        )
        ids = torch.tensor([member.id for member in members]).long()
        return cls(masks, resizer, ids, places, scores)

    @property
    def nbytes(self) -> int:
        """Number of bytes of the logits in memory."""
        return self.masks.nbytes

    def compute(self, ids: IdMap) -> Float[np.ndarray, "h w"]:
        """Compute the confidence of every pixel for the segment that owns it."""
        confidence, target, owners = output_map(ids)
        mask_logits = self.masks.expand()
        count = int(self.segment_ids.amax()) + 1 if len(self.segment_ids) else 0
        for grid in iterate_grids(self.resizer, owners.device, count + 1):
            present = present_values(grid, owners, count)[self.segment_ids]
            for blocks, rows in block_batches(present, grid.area):
                values = self.probabilities(mask_logits, grid, blocks, rows)
                is_owner = self.segment_ids[rows][..., None, None] == grid.read_pixels(
                    owners, blocks
                ).unsqueeze(1)
                grid.write_pixels(target, blocks, values.mul_(is_owner).amax(1))
        return confidence

    def probabilities(
        self,
        mask_logits: Float[Tensor, "q h w"],
        grid: Grid,
        blocks: Int[Tensor, " m"],
        rows: Int[Tensor, "m n"],
    ) -> Float[Tensor, "m n a b"]:
        """Compute class score times mask probability of some rows in some blocks."""
        interpolation = block_resizer(grid, blocks, mask_logits.shape[2])
        probs = interpolation.resize(mask_logits, self.places[rows]).sigmoid_()
        return probs.mul_(self.scores[rows][..., None, None])


@dataclass(frozen=True, eq=False)
class SemanticConfidence:
    """Confidence of semantic segmentation: the share of the class in the pixel's class scores.

    The id of a segment is its label id + 1.

    Attributes:
        masks: Mask logits of all queries.
        probs: Class probabilities of the queries.
        resizers: Resizing of mask logits, and of class scores if that is a separate step.
        is_per_pixel: Whether mask probabilities are the exponentials of mask logits.
        threshold: Minimum share of all pixels with a class; rounding does not take it lower.
    """

    masks: CompactMasks
    probs: Float[Tensor, "k q"]
    resizers: tuple[Resizer, Resizer | None]
    is_per_pixel: bool
    threshold: float = 0.0

    @classmethod
    def build(
        cls,
        class_logits: Float[Tensor, "q k1"],
        mask_logits: Float[Tensor, "q h w"],
        masks: Resizer,
        scores: Resizer | None,
        threshold: float | None,
    ) -> "SemanticConfidence":
        """Keep the mask logits that change the share of a class noticeably."""
        probs = query_class_probs(class_logits)
        activation = mask_activation(probs, mask_logits)
        lowest, highest = tile_bounds(mask_logits, masks)
        totals = probs.sum(0)
        lowest_probs = activation(lowest.clone())
        change = totals[:, None] * (activation(highest.clone()) - lowest_probs)
        ordered, order = change.sort(dim=0)
        is_needed = ordered.cumsum(0) > SHARE_TOLERANCE * (totals @ lowest_probs)
        is_stored = torch.empty_like(is_needed).scatter_(0, order, is_needed)
        compact = CompactMasks.compress(
            mask_logits, is_stored, (lowest + highest) / 2, torch.float16
        )
        is_per_pixel = activation is Tensor.exp_
        return cls(compact, probs.cpu(), (masks, scores), is_per_pixel, threshold or 0.0)

    @property
    def nbytes(self) -> int:
        """Number of bytes of logits and probabilities in memory."""
        return self.masks.nbytes + self.probs.nbytes

    def compute(self, ids: IdMap) -> Float[np.ndarray, "h w"]:
        """Compute the confidence of every pixel for the segment that owns it."""
        confidence, target, labels = output_map(ids)
        labels = labels - 1
        mask_logits, (masks, scores) = self.masks.expand(), self.resizers
        activation = Tensor.exp_ if self.is_per_pixel else Tensor.sigmoid_
        for grids in iterate_grid_pairs(masks, scores, labels.device, max(self.probs.shape)):
            part = GridBounds.compute(self.probs, mask_logits, grids, activation)
            present = present_values(part.grid, labels, len(self.probs))
            for blocks, classes in group_by_count(present):
                for places, shares in pixel_shares(part, labels, blocks, classes):
                    has_class = part.grid.read_pixels(labels, places) >= 0
                    part.grid.write_pixels(
                        target, places, shares.clamp_(min=self.threshold).mul_(has_class)
                    )
        return confidence


def block_batches(
    present: Bool[Tensor, "r n"], area: int
) -> Iterator[tuple[Int[Tensor, " m"], Int[Tensor, "m _"]]]:
    """Yield blocks of `area` pixels in batches, with the rows that are present in them."""
    for blocks, rows in group_by_count(present):
        for piece in batch_slices(len(blocks), rows.shape[1] * area, blocks.device):
            yield blocks[piece], rows[piece]


def output_map(
    ids: IdMap,
) -> tuple[Float[np.ndarray, "h w"], Float[Tensor, "w h"], Int[Tensor, "w h"]]:
    """Return a new map of zeros, its transposed view as a tensor, and the ids as a tensor."""
    confidence = np.zeros(ids.shape[::-1], np.float32)
    return confidence, torch.from_numpy(confidence).T, torch.from_numpy(ids)


def tiles_near_segments(
    mask_logits: Float[Tensor, "q h w"],
    resizer: Resizer,
    members: Sequence[SegmentQuery],
    places: Sequence[int],
    count: int,
) -> Bool[Tensor, "u n"]:
    """Mark the tiles on which pixels in the boxes of each query's segments depend."""
    down, across = tile_counts((mask_logits.shape[1], mask_logits.shape[2]))
    near = torch.zeros(count, down, across, dtype=torch.bool)
    for member, place in zip(members, places, strict=True):
        left, top, right, bottom = map(int, member.rle.box)
        rows = tile_range(resizer.rows, top, bottom)
        near[place, rows, tile_range(resizer.columns, left, right)] = True
    return near.flatten(1)


def tile_range(axis: Axis, start: int, stop: int) -> slice:
    """Return the tiles on which the outputs from `start` to `stop` - 1 depend."""
    inputs, weights = axis.inputs[start:stop], axis.weights[start:stop]
    used = inputs[weights > 0]
    if not len(used):
        return slice(0, 0)
    return slice(int(used.min()) // TILE_SIDE, int(used.max()) // TILE_SIDE + 1)
