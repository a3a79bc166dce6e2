"""DETR's loss: queries matched by classes and boxes, masks of the last layer (DETR, 3.1, 4.4)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.config import BoxCriterionConfig
from unimask.losses.boxes import box_costs, box_losses, mask_boxes
from unimask.losses.dense_masks import DenseMaskCriterion
from unimask.losses.mask_losses import class_cost
from unimask.losses.matcher import Match, assign
from unimask.outputs import BoxPrediction, SegmenterOutput, Target


class BoxLosses(NamedTuple):
    """Losses of a batch, as `Losses`, with those of boxes.

    Attributes:
        total: Weighted sum over all layers and terms, which training minimizes.
        class_loss: Class loss of the last layer, unweighted.
        mask_loss: Mask loss of the last layer, unweighted.
        dice_loss: Dice loss of the last layer, unweighted.
        headline: Weighted sum of the last layer's terms.
        box_loss: Mean L1 distance of the last layer's boxes, unweighted.
        giou_loss: Mean of one minus the generalized IoU of the last layer's boxes, unweighted.
    """

    total: Float[Tensor, ""]
    class_loss: Float[Tensor, ""]
    mask_loss: Float[Tensor, ""]
    dice_loss: Float[Tensor, ""]
    headline: Float[Tensor, ""]
    box_loss: Float[Tensor, ""]
    giou_loss: Float[Tensor, ""]


class BoxCriterion(DenseMaskCriterion):
    """Match by classes and boxes; sum class and box losses over all layers, and add mask losses.

    Boxes of the ground truth are those of its masks, without ignored pixels.

    Args:
        num_classes: Number of classes, without "no object".
        config: Weights, and parameters of the focal loss.
    """

    def __init__(self, num_classes: int, config: BoxCriterionConfig) -> None:
        super().__init__(num_classes, config)
        self.box_weights = (config.box_weight, config.giou_weight)

    def forward(
        self,
        output: SegmenterOutput,
        targets: list[Target],
        *,
        generator: torch.Generator | None = None,
    ) -> BoxLosses:
        """Compute the losses of a batch.

        Args:
            output: Output of the network, with boxes of all layers.
            targets: Ground truth of each image; images without objects are allowed.
            generator: Ignored: every pixel counts.
        """
        size = (output.mask_logits.shape[-2], output.mask_logits.shape[-1])
        ground_truth = self.concatenate(targets, size)
        boxes = [self.true_boxes(target) for target in targets]
        matches = self.match(output.boxes, targets, boxes)
        class_losses = self.class_losses(
            [layer.class_logits for layer in output.boxes], targets, matches
        )
        box_terms = [
            self.box_losses(layer, boxes, pairs) / ground_truth.num_masks
            for layer, pairs in zip(output.boxes, matches, strict=True)
        ]
        masks = self.mask_losses(output.mask_logits, ground_truth, matches[-1])
        box_weight, giou_weight = self.box_weights
        layers = [
            self.weights[0] * class_loss + box_weight * l1 + giou_weight * giou
            for class_loss, (l1, giou) in zip(class_losses, box_terms, strict=True)
        ]
        l1, giou = box_terms[-1].detach()
        return BoxLosses(
            total=torch.stack(layers).sum() + masks.weighted,
            class_loss=class_losses[-1].detach(),
            mask_loss=masks.mask.detach(),
            dice_loss=masks.dice.detach(),
            headline=(layers[-1] + masks.weighted).detach(),
            box_loss=l1,
            giou_loss=giou,
        )

    def true_boxes(self, target: Target) -> Float[Tensor, "n 4"]:
        """Compute the boxes of an image's ground truth."""
        if target.ignored is None or not self.ignore_void:
            return mask_boxes(target.masks)
        return mask_boxes(target.masks & ~target.ignored)

    @torch.no_grad()
    def match(
        self,
        layers: Sequence[BoxPrediction],
        targets: list[Target],
        boxes: list[Float[Tensor, "_ 4"]],
    ) -> list[list[Match]]:
        """Match the queries of every layer with the objects of every image.

        Args:
            layers: Prediction of each layer.
            targets: Ground truth of each image.
            boxes: Boxes of the ground truth of each image.

        Returns:
            Matches of each layer and image.
        """
        costs = []
        for image, (target, true) in enumerate(zip(targets, boxes, strict=True)):
            for layer in layers:
                l1, giou = box_costs(layer.boxes[image].float(), true)
                class_costs = class_cost(layer.class_logits[image].float(), target.labels)
                costs.append(
                    self.weights[0] * class_costs
                    + self.box_weights[0] * l1
                    + self.box_weights[1] * giou
                )
        pairs = assign(costs)
        return [pairs[layer :: len(layers)] for layer in range(len(layers))]

    def box_losses(
        self, layer: BoxPrediction, boxes: list[Float[Tensor, "_ 4"]], pairs: list[Match]
    ) -> Float[Tensor, "2"]:
        """Sum the L1 and GIoU losses of a layer's matched boxes.

        Without objects they are zero, but depend on the network, so that every process has
        gradients.
        """
        matched = [
            (predicted[queries], true[objects])
            for predicted, true, (queries, objects) in zip(layer.boxes, boxes, pairs, strict=True)
        ]
        predicted, true = (torch.cat(parts) for parts in zip(*matched, strict=True))
        return torch.stack(box_losses(predicted.float(), true))
