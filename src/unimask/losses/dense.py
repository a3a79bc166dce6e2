"""MaskFormer's loss: masks compared at every pixel (MaskFormer, 3.2; `mask_former/modeling`)."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unimask.config import DenseCriterionConfig
from unimask.losses.mask_losses import dice_loss, focal_cost, focal_loss
from unimask.losses.matched import Losses, MatchedCriterion
from unimask.losses.matcher import ComparedTarget, HungarianMatcher, Match
from unimask.losses.point_losses import MaskTerms
from unimask.losses.points import known_pixels, rows_at_once
from unimask.outputs import LayerPrediction, SegmenterOutput, Target


class Truth(NamedTuple):
    """The targets of a batch, laid out once for all layers.

    `masks` holds all pictures' objects one after the other, and `pictures` says whose each is;
    object i of picture j is row `starts[j] + i`. `known` marks the pixels whose truth is known;
    None for all of them.
    """

    masks: Bool[Tensor, "n h w"]
    pictures: Int[Tensor, " n"]
    starts: list[int]
    known: Bool[Tensor, "b h w"] | None
    num_masks: float


class DenseCriterion(MatchedCriterion):
    """Match at the logits' size, then judge matched masks at the truth's size.

    Only matched masks ever exist at that size, a few at a time, and none of them waits for the
    gradients: they are made again.

    Args:
        num_classes: Real classes.
        config: Weights, and the focal loss's numbers.
    """

    def __init__(self, num_classes: int, config: DenseCriterionConfig) -> None:
        focal = {"alpha": config.focal_alpha, "gamma": config.focal_gamma}
        matcher = HungarianMatcher(config, partial(focal_cost, **focal))
        super().__init__(num_classes, config, matcher)
        self.focal_loss = partial(focal_loss, **focal)

    def forward(
        self,
        output: SegmenterOutput,
        targets: list[Target],
        *,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """Judge a batch.

        Args:
            output: The network's output, with auxiliary predictions for deep supervision.
            targets: One per picture; a picture without objects is welcome.
            generator: Not drawn from: every pixel counts.
        """
        size = (output.mask_logits.shape[-2], output.mask_logits.shape[-1])
        truth = self.lay_out(targets, size)
        layers = [*output.auxiliary, LayerPrediction(output.class_logits, output.mask_logits)]
        return self.judge(
            [layer.class_logits for layer in layers],
            targets,
            self.read(layers, targets),
            lambda matches: [
                self.mask_losses(layer.mask_logits, truth, pairs)
                for layer, pairs in zip(layers, matches, strict=True)
            ],
        )

    def lay_out(self, targets: list[Target], logits_size: tuple[int, int]) -> Truth:
        """Put the batch's masks in one tensor and count them over all processes."""
        counts = [len(target.labels) for target in targets]
        starts = [sum(counts[:index]) for index in range(len(counts))]
        masks = targets[0].masks if len(targets) == 1 else torch.cat([t.masks for t in targets])
        ignored = self.ignored(targets)
        known = None if ignored is None else known_pixels(ignored, logits_size)
        pictures = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return Truth(
            masks, pictures.to(masks.device), starts, known, self.masks_per_process(sum(counts))
        )

    def read(
        self, layers: list[LayerPrediction], targets: list[Target]
    ) -> Iterator[tuple[ComparedTarget, Iterable[Float[Tensor, "q p"]]]]:
        """Read truth and masks of one picture after the other, in cells whose truth is known."""
        for picture, target in enumerate(targets):
            masks = [layer.mask_logits[picture].detach() for layer in layers]
            told, cells = self.in_cells(target, (masks[0].shape[-2], masks[0].shape[-1]))
            rows = (mask.flatten(1) for mask in masks)
            yield told, rows if cells is None else (row.index_select(1, cells) for row in rows)

    def in_cells(
        self, target: Target, size: tuple[int, int]
    ) -> tuple[ComparedTarget, Int[Tensor, " p"] | None]:
        """Read the truth of the pixel nearest to each cell, as the authors do to save memory.

        Returns:
            The truth, and the cells where it is known; None for all of them.
        """
        masks = nearest(target.masks, size).flatten(1)
        if target.ignored is None or not self.ignore_void:
            return ComparedTarget(target.labels, masks.float()), None
        # Numbers of cells, found once: a GPU is waited for wherever marks choose.
        (known,) = (~nearest(target.ignored[None], size)).flatten().nonzero(as_tuple=True)
        return ComparedTarget(target.labels, masks.index_select(1, known).float()), known

    def mask_losses(
        self, mask_logits: Float[Tensor, "b q h w"], truth: Truth, pairs: list[Match]
    ) -> MaskTerms:
        """Give the focal and dice loss of a layer's masks.

        Without objects they are zero, yet part of the graph: every process has gradients.
        """
        queries = torch.cat([picture_queries for picture_queries, _ in pairs])
        rows = torch.cat(
            [start + objects for start, (_, objects) in zip(truth.starts, pairs, strict=True)]
        )
        logits = mask_logits[truth.pictures[rows], queries].float()
        focal = dice = logits.flatten()[:0].sum()
        at_once = rows_at_once(truth.masks)
        for part, some in zip(rows.split(at_once), logits.split(at_once), strict=True):
            sums: tuple[Tensor, Tensor] = checkpoint(  # type: ignore[assignment]
                self.compare, some, truth, part, use_reentrant=False, preserve_rng_state=False
            )
            focal, dice = focal + sums[0], dice + sums[1]
        focal, dice = focal / truth.num_masks, dice / truth.num_masks
        return MaskTerms(self.weights[1] * focal + self.weights[2] * dice, focal, dice)

    def compare(
        self, logits: Float[Tensor, "n h w"], truth: Truth, rows: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Sum the focal and the dice losses of some masks over all their known pixels."""
        masks = truth.masks[rows]
        upsampled = F.interpolate(
            logits[:, None], masks.shape[-2:], mode="bilinear", align_corners=False
        ).flatten(1)
        known = upsampled.new_ones(1, 1).expand(upsampled.shape)
        if truth.known is not None:
            seen = truth.known[truth.pictures[rows]]
            masks, known = masks & seen, seen.flatten(1).to(upsampled.dtype)
        true = masks.flatten(1).to(upsampled.dtype)
        return self.focal_loss(upsampled, true, known), dice_loss(upsampled, true, known)


def nearest(masks: Bool[Tensor, "n h w"], size: tuple[int, int]) -> Bool[Tensor, "n i j"]:
    """Resize masks to the nearest pixels, as bytes: floats would be four times as large."""
    return F.interpolate(masks[:, None].view(torch.uint8), size, mode="nearest")[:, 0].bool()
