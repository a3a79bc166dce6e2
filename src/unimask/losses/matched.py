"""What losses have in common whose masks are matched to objects."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unimask.config import LossConfig
from unimask.losses.matcher import ComparedTarget, HungarianMatcher, Match
from unimask.losses.processes import count_processes, mean_over_processes
from unimask.outputs import LayerPrediction, SegmenterOutput, Target


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


class Truth(NamedTuple):
    """The targets of a batch, laid out once for all layers.

    `masks` holds all pictures' objects one after the other, and `pictures` says whose each is;
    object i of picture j is row `starts[j] + i`. `known` marks where the truth is known, on a grid
    of the loss's own; None for everywhere.
    """

    masks: Bool[Tensor, "n h w"]
    pictures: Int[Tensor, " n"]
    starts: list[int]
    known: Bool[Tensor, "b i j"] | None
    num_masks: float


MaskLosses = Callable[
    [list[LayerPrediction], list[list[Match]]],
    list[tuple[Float[Tensor, ""], Float[Tensor, ""]]],
]
"""Predictions and matches of every layer to its mask and dice loss, without their weights."""


class MatchedCriterion(nn.Module):
    """What losses have in common: matching in every layer, class loss, weights and sums.

    Args:
        num_classes: Real classes.
        config: Weights.
        matcher: Pairs queries and objects.
    """

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
        output: SegmenterOutput,
        targets: list[Target],
        compared: Sequence[ComparedTarget],
        mask_losses: MaskLosses,
    ) -> Losses:
        """Match and judge every layer.

        Args:
            output: The network's output.
            targets: One per picture.
            compared: The same, read where the matcher compares masks.
            mask_losses: Judges the masks of all layers.
        """
        layers = [*output.auxiliary, LayerPrediction(output.class_logits, output.mask_logits)]
        found = self.matcher.match_all(
            [
                (layer.class_logits[i], layer.mask_logits[i], target)
                for layer in layers
                for i, target in enumerate(compared)
            ]
        )
        count = len(compared)
        matches = [found[start : start + count] for start in range(0, len(found), count)]
        classes = self.class_losses(layers, targets, matches)
        terms = [
            (of_classes, *of_masks)
            for of_classes, of_masks in zip(classes, mask_losses(layers, matches), strict=True)
        ]
        weighted = [
            torch.stack([w * term for w, term in zip(self.weights, layer, strict=True)]).sum()
            for layer in terms
        ]
        of_class, of_mask, of_dice = (term.detach() for term in terms[-1])
        total = torch.stack(weighted).sum()
        return Losses(total, of_class, of_mask, of_dice, weighted[-1].detach())

    def lay_out(self, targets: list[Target], logits_size: tuple[int, int]) -> Truth:
        """Put the batch's masks in one tensor and count them over all processes."""
        counts = [len(target.labels) for target in targets]
        starts = [sum(counts[:index]) for index in range(len(counts))]
        masks = targets[0].masks if len(targets) == 1 else torch.cat([t.masks for t in targets])
        ignored = [target.ignored for target in targets]
        known = None
        if self.ignore_void and any(void is not None and void.any() for void in ignored):
            nothing = masks.new_zeros(masks.shape[-2:])
            voids = torch.stack([nothing if void is None else void for void in ignored])
            known = self.known(voids, logits_size)
        pictures = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return Truth(
            masks, pictures.to(masks.device), starts, known, self.masks_per_process(sum(counts))
        )

    def known(
        self, ignored: Bool[Tensor, "b h w"], logits_size: tuple[int, int]
    ) -> Bool[Tensor, "b i j"]:
        """Mark where the truth is known, on the grid that the losses look it up in."""
        raise NotImplementedError

    def masks_per_process(self, count: int) -> float:
        """Average the number of masks over all processes; the batch has at least one mask.

        The authors count at least one per process.
        """
        mean = float(mean_over_processes(torch.tensor([float(count)])))
        return max(mean, 1.0 if self.per_process_means else 1 / count_processes())

    def class_losses(
        self,
        layers: list[LayerPrediction],
        targets: list[Target],
        matches: list[list[Match]],
    ) -> list[Float[Tensor, ""]]:
        """Give every layer's weighted mean of the cross entropy over all queries of the batch.

        The mean is over the pictures of all processes; the authors' is over each one's own.
        """
        wanted = [
            self.wanted(layer.class_logits, targets, pairs)
            for layer, pairs in zip(layers, matches, strict=True)
        ]
        sums = [
            F.cross_entropy(
                layer.class_logits.float().transpose(1, 2),
                classes,
                self.class_weights,
                reduction="sum",
            )
            for layer, classes in zip(layers, wanted, strict=True)
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
