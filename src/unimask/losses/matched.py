"""Parts that losses of matched masks share: class loss, sums over layers, and processes."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unimask.config import LossConfig
from unimask.losses.matcher import Match
from unimask.losses.point_losses import MaskTerms
from unimask.losses.processes import count_processes, mean_over_processes
from unimask.outputs import Target


class Losses(NamedTuple):
    """Losses of a batch.

    Attributes:
        total: Weighted sum over all layers and terms, which training minimizes; it includes the
            contrastive loss of texts, if there is one.
        class_loss: Class loss of the last layer, unweighted.
        mask_loss: Mask loss of the last layer, unweighted.
        dice_loss: Dice loss of the last layer, unweighted.
        headline: Weighted sum of the last layer's terms, comparable across networks of any depth.
    """

    total: Float[Tensor, ""]
    class_loss: Float[Tensor, ""]
    mask_loss: Float[Tensor, ""]
    dice_loss: Float[Tensor, ""]
    headline: Float[Tensor, ""]


class MatchedCriterion(nn.Module):
    """Base of losses whose masks are matched with objects.

    Args:
        num_classes: Number of classes, without "no object".
        config: Weights of the losses.
    """

    takes_factors: ClassVar[bool] = False
    """Whether masks may be given as factors (`Segmenter.forward`)."""

    class_weights: Tensor

    def __init__(self, num_classes: int, config: LossConfig) -> None:
        super().__init__()
        self.weights = (config.class_weight, config.mask_weight, config.dice_weight)
        self.ignore_void = config.ignore_void
        self.per_process_means = config.per_process_means
        weight = torch.ones(num_classes + 1)
        weight[-1] = config.no_object_weight
        self.register_buffer("class_weights", weight, persistent=False)

    def set_class_weights(self, weights: Sequence[float]) -> None:
        """Set the weights of the classes in the class loss; by default each is 1.

        Args:
            weights: One weight per class, without "no object".
        """
        self.class_weights[:-1] = self.class_weights.new_tensor(list(weights))

    def ignored_pixels(self, targets: list[Target]) -> Bool[Tensor, "b h w"] | None:
        """Return the pixels that no loss uses; None if there are none."""
        ignored = [target.ignored for target in targets]
        if not (self.ignore_void and any(mask is not None and mask.any() for mask in ignored)):
            return None
        none = targets[0].masks.new_zeros(targets[0].masks.shape[-2:])
        return torch.stack([none if mask is None else mask for mask in ignored])

    def masks_per_process(self, count: int) -> float:
        """Average the number of objects over all processes; a batch counts at least one.

        The authors' code counts at least one per process.
        """
        mean = float(mean_over_processes(torch.tensor([float(count)])))
        return max(mean, 1.0 if self.per_process_means else 1 / count_processes())

    def class_losses(
        self,
        class_logits: Sequence[Float[Tensor, "b q k"]],
        targets: list[Target],
        matches: list[list[Match]],
    ) -> list[Float[Tensor, ""]]:
        """Compute each layer's weighted mean cross entropy over all queries of the batch.

        The mean is over the images of all processes; in the authors' code, over each process's own.

        Args:
            class_logits: Class logits of each layer.
            targets: Ground truth of each image.
            matches: Matches of each layer and image.
        """
        labels = [
            self.query_labels(logits, targets, pairs)
            for logits, pairs in zip(class_logits, matches, strict=True)
        ]
        sums = [
            F.cross_entropy(
                logits.float().transpose(1, 2), classes, self.class_weights, reduction="sum"
            )
            for logits, classes in zip(class_logits, labels, strict=True)
        ]
        norms = torch.stack([self.class_weights[classes].sum() for classes in labels])
        if not self.per_process_means:
            norms = mean_over_processes(norms)
        return [total / norm for total, norm in zip(sums, norms, strict=True)]

    def query_labels(
        self, class_logits: Float[Tensor, "b q k"], targets: list[Target], matches: list[Match]
    ) -> Int[Tensor, "b q"]:
        """Return the target class of every query: "no object" for unmatched ones."""
        labels = torch.full(
            class_logits.shape[:2],
            class_logits.shape[-1] - 1,
            dtype=torch.long,
            device=class_logits.device,
        )
        for index, (target, (queries, objects)) in enumerate(zip(targets, matches, strict=True)):
            labels[index, queries] = target.labels[objects]
        return labels

    def sum_losses(
        self, class_losses: list[Float[Tensor, ""]], mask_terms: list[MaskTerms]
    ) -> Losses:
        """Sum the weighted losses of all layers.

        Args:
            class_losses: Class loss of each layer.
            mask_terms: Mask and dice losses of each layer.
        """
        weighted = [
            self.weights[0] * class_loss + terms.weighted
            for class_loss, terms in zip(class_losses, mask_terms, strict=True)
        ]
        last = mask_terms[-1]
        return Losses(
            total=torch.stack(weighted).sum(),
            class_loss=class_losses[-1].detach(),
            mask_loss=last.mask.detach(),
            dice_loss=last.dice.detach(),
            headline=weighted[-1].detach(),
        )
