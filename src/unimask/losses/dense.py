"""MaskFormer's loss: masks compared at every pixel (MaskFormer, 3.2; `mask_former/modeling`)."""

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
from unimask.losses.matcher import ComparedTarget, HungarianMatcher, Match, assign
from unimask.losses.point_losses import MaskTerms
from unimask.losses.points import known_pixels, masks_per_chunk
from unimask.outputs import LayerPrediction, SegmenterOutput, Target


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


class DenseCriterion(MatchedCriterion):
    """Match at the logits' size; compare matched masks at the ground truth's size.

    Only a few matched masks are resized at a time, and they are recomputed in the backward pass.

    Args:
        num_classes: Number of classes, without "no object".
        config: Weights, and parameters of the focal loss.
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
        """Compute the losses of a batch.

        Args:
            output: Output of the network, with auxiliary predictions for deep supervision.
            targets: Ground truth of each image; images without objects are allowed.
            generator: Ignored: every pixel counts.
        """
        size = (output.mask_logits.shape[-2], output.mask_logits.shape[-1])
        layers = [*output.auxiliary, LayerPrediction(output.class_logits, output.mask_logits)]
        ground_truth = self.concatenate(targets, size)
        matches = self.match(layers, targets)
        class_logits = [layer.class_logits for layer in layers]
        class_losses = self.class_losses(class_logits, targets, matches)
        mask_losses = [
            self.mask_losses(layer.mask_logits, ground_truth, pairs)
            for layer, pairs in zip(layers, matches, strict=True)
        ]
        return self.sum_losses(class_losses, mask_losses)

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

    @torch.no_grad()
    def match(self, layers: list[LayerPrediction], targets: list[Target]) -> list[list[Match]]:
        """Match the queries of every layer with the objects of every image.

        Returns:
            Matches of each layer and image.
        """
        costs = []
        for image, target in enumerate(targets):
            height, width = layers[0].mask_logits.shape[-2:]
            compared, pixels = self.resize_target(target, (height, width))
            for layer in layers:
                masks = layer.mask_logits[image].flatten(1)
                masks = masks if pixels is None else masks.index_select(1, pixels)
                costs.append(self.matcher.costs(layer.class_logits[image], masks, compared))
        pairs = assign(costs)
        return [pairs[layer :: len(layers)] for layer in range(len(layers))]

    def resize_target(
        self, target: Target, size: tuple[int, int]
    ) -> tuple[ComparedTarget, Int[Tensor, " p"] | None]:
        """Resize ground truth to the nearest pixels, as the authors do to save memory.

        Returns:
            The ground truth, and the indices of its known pixels; None for all of them.
        """
        masks = resize_nearest(target.masks, size).flatten(1)
        if target.ignored is None or not self.ignore_void:
            return ComparedTarget(target.labels, masks.float()), None
        # As indices, computed once: indexing by a boolean mask synchronizes with a GPU each time.
        ignored = resize_nearest(target.ignored[None], size)
        (known,) = (~ignored).flatten().nonzero(as_tuple=True)
        return ComparedTarget(target.labels, masks.index_select(1, known).float()), known

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


def resize_nearest(masks: Bool[Tensor, "n h w"], size: tuple[int, int]) -> Bool[Tensor, "n i j"]:
    """Resize masks to the nearest pixels, as bytes: floats would be four times as large."""
    return F.interpolate(masks[:, None].view(torch.uint8), size, mode="nearest")[:, 0].bool()
