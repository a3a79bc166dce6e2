"""What losses have in common whose masks are matched to objects."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unimask.config import LossConfig
from unimask.losses.matcher import ComparedTarget, HungarianMatcher, Match
from unimask.outputs import LayerPrediction, SegmenterOutput, Target


class Losses(NamedTuple):
    """What a step minimises, and what a person reads.

    `total` sums all layers and terms with their weights. The three terms are those of the last
    layer alone, without weights: they compare across networks of any depth.
    """

    total: Float[Tensor, ""]
    class_loss: Float[Tensor, ""]
    mask_loss: Float[Tensor, ""]
    dice_loss: Float[Tensor, ""]


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
        self.matcher = matcher
        weight = torch.ones(num_classes + 1)
        weight[-1] = config.no_object_weight
        self.register_buffer("class_weights", weight, persistent=False)

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
        matches = [
            [
                self.matcher.match(layer.class_logits[i], layer.mask_logits[i], target)
                for i, target in enumerate(compared)
            ]
            for layer in layers
        ]
        terms = [
            (self.class_loss(layer.class_logits.float(), targets, pairs), *masks)
            for layer, pairs, masks in zip(
                layers, matches, mask_losses(layers, matches), strict=True
            )
        ]
        total = torch.stack(
            [
                weight * term
                for layer in terms
                for weight, term in zip(self.weights, layer, strict=True)
            ]
        ).sum()
        return Losses(total, *(term.detach() for term in terms[-1]))

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
            masks, pictures.to(masks.device), starts, known, mean_over_processes(sum(counts))
        )

    def known(
        self, ignored: Bool[Tensor, "b h w"], logits_size: tuple[int, int]
    ) -> Bool[Tensor, "b i j"]:
        """Mark where the truth is known, on the grid that the losses look it up in."""
        raise NotImplementedError

    def class_loss(
        self, class_logits: Float[Tensor, "b q k"], targets: list[Target], matches: list[Match]
    ) -> Float[Tensor, ""]:
        """Give the weighted mean of the cross entropy over all queries of the batch."""
        no_object = class_logits.shape[-1] - 1
        wanted = torch.full(
            class_logits.shape[:2], no_object, dtype=torch.long, device=class_logits.device
        )
        for index, (target, (queries, objects)) in enumerate(zip(targets, matches, strict=True)):
            wanted[index, queries] = target.labels[objects]
        return F.cross_entropy(class_logits.transpose(1, 2), wanted, self.class_weights)


def mean_over_processes(num_masks: int) -> float:
    """Give the number of masks per process, averaged over all, at least 1."""
    if not (dist.is_available() and dist.is_initialized()):
        return max(float(num_masks), 1.0)
    count = torch.tensor(float(num_masks))
    if dist.get_backend() == "nccl":
        count = count.cuda()
    dist.all_reduce(count)
    return max(count.item() / dist.get_world_size(), 1.0)
