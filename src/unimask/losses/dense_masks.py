"""Losses of matched masks at every pixel, at the ground truth's size."""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unimask.config import BoxCriterionConfig, DenseCriterionConfig
from unimask.losses.mask_losses import dice_loss, focal_loss
from unimask.losses.matched import MatchedCriterion
from unimask.losses.matcher import Match
from unimask.losses.point_losses import MaskTerms
from unimask.losses.points import known_pixels, masks_per_chunk
from unimask.outputs import Target


class BatchGroundTruth(NamedTuple):
    """Ground truth of a batch, concatenated once for all layers.

    Attributes:
        masks: Masks of all images' objects; object i of image j is row `starts[j] + i`.
        images: Image index of each object.
        starts: First row of each image's objects.
        known: Pixels with known ground truth; None for all of them.
        num_masks: Number of objects, averaged over all processes.
    """

    masks: Bool[Tensor, "n h w"]
    images: Int[Tensor, " n"]
    starts: list[int]
    known: Bool[Tensor, "b h w"] | None
    num_masks: float


class DenseMaskCriterion(MatchedCriterion):
    """Base of losses that compare masks at every pixel.

    Only a few matched masks are resized at a time, and they are recomputed in the backward pass.

    Args:
        num_classes: Number of classes, without "no object".
        config: Weights, and parameters of the focal loss.
    """

    def __init__(self, num_classes: int, config: DenseCriterionConfig | BoxCriterionConfig) -> None:
        super().__init__(num_classes, config)
        self.focal_loss = partial(focal_loss, alpha=config.focal_alpha, gamma=config.focal_gamma)

    def concatenate(self, targets: list[Target], logits_size: tuple[int, int]) -> BatchGroundTruth:
        """Concatenate the batch's masks and count them over all processes."""
        counts = [len(target.labels) for target in targets]
        starts = [sum(counts[:index]) for index in range(len(counts))]
        masks = targets[0].masks if len(targets) == 1 else torch.cat([t.masks for t in targets])
        ignored = self.ignored_pixels(targets)
        known = None if ignored is None else known_pixels(ignored, logits_size)
        images = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        num_masks = self.masks_per_process(sum(counts))
        return BatchGroundTruth(masks, images.to(masks.device), starts, known, num_masks)

    def mask_losses(
        self,
        mask_logits: Float[Tensor, "b q h w"],
        ground_truth: BatchGroundTruth,
        pairs: list[Match],
    ) -> MaskTerms:
        """Compute the focal and dice losses of a layer's matched masks.

        Without objects they are zero, but depend on the network, so that every process has
        gradients.
        """
        queries = torch.cat([image_queries for image_queries, _ in pairs])
        rows = torch.cat(
            [
                start + objects
                for start, (_, objects) in zip(ground_truth.starts, pairs, strict=True)
            ]
        )
        logits = mask_logits[ground_truth.images[rows], queries].float()
        focal = dice = logits.flatten()[:0].sum()
        chunk = masks_per_chunk(ground_truth.masks)
        for part, part_logits in zip(rows.split(chunk), logits.split(chunk), strict=True):
            sums: tuple[Tensor, Tensor] = checkpoint(  # type: ignore[assignment]
                self.compare,
                part_logits,
                ground_truth,
                part,
                use_reentrant=False,
                preserve_rng_state=False,
            )
            focal, dice = focal + sums[0], dice + sums[1]
        focal, dice = focal / ground_truth.num_masks, dice / ground_truth.num_masks
        return MaskTerms(self.weights[1] * focal + self.weights[2] * dice, focal, dice)

    def compare(
        self,
        logits: Float[Tensor, "n h w"],
        ground_truth: BatchGroundTruth,
        rows: Int[Tensor, " n"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Sum the focal and the dice losses of some masks over all their known pixels."""
        masks = ground_truth.masks[rows]
        upsampled = F.interpolate(
            logits[:, None], masks.shape[-2:], mode="bilinear", align_corners=False
        ).flatten(1)
        known = upsampled.new_ones(1, 1).expand(upsampled.shape)
        if ground_truth.known is not None:
            known_masks = ground_truth.known[ground_truth.images[rows]]
            masks, known = masks & known_masks, known_masks.flatten(1).to(upsampled.dtype)
        true = masks.flatten(1).to(upsampled.dtype)
        return self.focal_loss(upsampled, true, known), dice_loss(upsampled, true, known)
