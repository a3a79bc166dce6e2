"""MaskFormer's loss: masks compared at every pixel (MaskFormer, 3.2; `mask_former/modeling`)."""

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor

from unimask.config import DenseCriterionConfig
from unimask.losses.dense_masks import DenseMaskCriterion
from unimask.losses.mask_losses import focal_cost
from unimask.losses.matched import Losses
from unimask.losses.matcher import ComparedTarget, HungarianMatcher, Match, assign
from unimask.outputs import LayerPrediction, SegmenterOutput, Target


class DenseCriterion(DenseMaskCriterion):
    """Match at the logits' size; compare matched masks at the ground truth's size.

    Args:
        num_classes: Number of classes, without "no object".
        config: Weights, and parameters of the focal loss.
    """

    def __init__(self, num_classes: int, config: DenseCriterionConfig) -> None:
        super().__init__(num_classes, config)
        cost = partial(focal_cost, alpha=config.focal_alpha, gamma=config.focal_gamma)
        self.matcher = HungarianMatcher(config, cost)

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


def resize_nearest(masks: Bool[Tensor, "n h w"], size: tuple[int, int]) -> Bool[Tensor, "n i j"]:
    """Resize masks to the nearest pixels, as bytes: floats would be four times as large."""
    return F.interpolate(masks[:, None].view(torch.uint8), size, mode="nearest")[:, 0].bool()
