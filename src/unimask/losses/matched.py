"""What losses have in common whose masks are matched to objects."""

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unimask.config import LossConfig
from unimask.losses.matcher import ComparedTarget, HungarianMatcher, Match
from unimask.losses.point_losses import MaskTerms
from unimask.losses.processes import count_processes, mean_over_processes
from unimask.outputs import Target


class Losses(NamedTuple):
    """What a step minimises, and what a person reads.

    `total` sums all layers and terms with their weights, and the contrast with texts where there
    is one. The three terms are those of the last layer alone, without weights, and `headline` is
    their weighted sum: these compare across networks of any depth.
    """

    total: Float[Tensor, ""]
    class_loss: Float[Tensor, ""]
    mask_loss: Float[Tensor, ""]
    dice_loss: Float[Tensor, ""]
    headline: Float[Tensor, ""]


MaskLosses = Callable[[list[list[Match]]], list[MaskTerms]]
"""Matches of every layer, picture by picture, to the losses of its masks."""


class MatchedCriterion(nn.Module):
    """What losses have in common: matching in every layer, class loss, weights and sums.

    Args:
        num_classes: Real classes.
        config: Weights.
        matcher: Pairs queries and objects.
    """

    takes_factors: ClassVar[bool] = False
    """Whether it judges masks that are left as factors (`Segmenter.forward`), too."""

    class_weights: Tensor

    def __init__(self, num_classes: int, config: LossConfig, matcher: HungarianMatcher) -> None:
        super().__init__()
        self.weights = (config.class_weight, config.mask_weight, config.dice_weight)
        self.ignore_void = config.ignore_void
        self.per_process_means = config.per_process_means
        self.matcher = matcher
        weight = torch.ones(num_classes + 1)
        weight[-1] = config.no_object_weight
        self.register_buffer("class_weights", weight, persistent=False)

    def weigh(self, classes: Sequence[float]) -> None:
        """Let real classes count differently in the class loss; each counts 1 by itself.

        Args:
            classes: One weight per class.
        """
        weights = self.class_weights.new_tensor(list(classes))
        self.class_weights[:-1] = weights

    def judge(
        self,
        class_logits: Sequence[Float[Tensor, "b q k"]],
        targets: list[Target],
        compared: Iterable[tuple[ComparedTarget, Iterable[Float[Tensor, "q p"]]]],
        mask_losses: MaskLosses,
    ) -> Losses:
        """Match and judge every layer.

        Args:
            class_logits: Of every layer.
            targets: One per picture.
            compared: The same, read where the matcher compares masks, and the mask logits of
                every layer there.
            mask_losses: Judges the masks of all layers.
        """
        found = self.matcher.match_all(
            (classes[picture], masks, target)
            for picture, (target, layers) in enumerate(compared)
            for classes, masks in zip(class_logits, layers, strict=True)
        )
        matches = [found[layer :: len(class_logits)] for layer in range(len(class_logits))]
        of_classes = self.class_losses(class_logits, targets, matches)
        of_masks = mask_losses(matches)
        weighted = [
            self.weights[0] * classes + masks.weighted
            for classes, masks in zip(of_classes, of_masks, strict=True)
        ]
        last, total = of_masks[-1], torch.stack(weighted).sum()
        return Losses(
            total, of_classes[-1].detach(), last.mask.detach(), last.dice.detach(),
            weighted[-1].detach(),
        )  # fmt: skip

    def ignored(self, targets: list[Target]) -> Bool[Tensor, "b h w"] | None:
        """Give the pixels that count nowhere; None if all of them count."""
        ignored = [target.ignored for target in targets]
        if not (self.ignore_void and any(void is not None and void.any() for void in ignored)):
            return None
        nothing = targets[0].masks.new_zeros(targets[0].masks.shape[-2:])
        return torch.stack([nothing if void is None else void for void in ignored])

    def masks_per_process(self, count: int) -> float:
        """Average the number of masks over all processes; the batch has at least one mask.

        The authors count at least one per process.
        """
        mean = float(mean_over_processes(torch.tensor([float(count)])))
        return max(mean, 1.0 if self.per_process_means else 1 / count_processes())

    def class_losses(
        self,
        layers: Sequence[Float[Tensor, "b q k"]],
        targets: list[Target],
        matches: list[list[Match]],
    ) -> list[Float[Tensor, ""]]:
        """Give every layer's weighted mean of the cross entropy over all queries of the batch.

        The mean is over the pictures of all processes; the authors' is over each one's own.
        """
        wanted = [
            self.wanted(logits, targets, pairs)
            for logits, pairs in zip(layers, matches, strict=True)
        ]
        sums = [
            F.cross_entropy(
                logits.float().transpose(1, 2),
                classes,
                self.class_weights,
                reduction="sum",
            )
            for logits, classes in zip(layers, wanted, strict=True)
        ]
        norms = torch.stack([self.class_weights[classes].sum() for classes in wanted])
        if not self.per_process_means:
            norms = mean_over_processes(norms)
        return [total / norm for total, norm in zip(sums, norms, strict=True)]

    def wanted(
        self, class_logits: Float[Tensor, "b q k"], targets: list[Target], matches: list[Match]
    ) -> Int[Tensor, "b q"]:
        """Give the class that every query should answer, "no object" where it has none."""
        wanted = torch.full(
            class_logits.shape[:2],
            class_logits.shape[-1] - 1,
            dtype=torch.long,
            device=class_logits.device,
        )
        for index, (target, (queries, objects)) in enumerate(zip(targets, matches, strict=True)):
            wanted[index, queries] = target.labels[objects]
        return wanted
