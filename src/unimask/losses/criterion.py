"""Mask2Former's loss: masks compared at points (Mask2Former, 3.3)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.config import CriterionConfig
from unimask.losses.contrastive import contrastive_loss
from unimask.losses.layered_masks import LayeredMasks, layered_masks
from unimask.losses.matched import Losses, MatchedCriterion
from unimask.losses.matcher import ComparedTarget, HungarianMatcher, Match
from unimask.losses.point_losses import MaskTerms, point_losses
from unimask.losses.points import (
    known_map,
    known_weights,
    sample_masks,
    sample_masks_shared,
    uncertain_points,
    uniform_points,
)
from unimask.outputs import FactoredOutput, SegmenterOutput, Target


class Answer(NamedTuple):
    """Which of a layer's queries answers for each object of a picture.

    `given` is 0 for objects that none answers for.
    """

    queries: Int[Tensor, " n"]
    given: Float[Tensor, "n 1"]


class PointSampler:
    """Draw the points at which masks are compared; tests put fixed points in its place.

    Args:
        config: How many points, and how they are chosen.
        generator: Source of every draw; None is PyTorch's own.
    """

    def __init__(self, config: CriterionConfig, generator: torch.Generator | None = None) -> None:
        self.config, self.generator = config, generator

    def matching(self, device: torch.device) -> Float[Tensor, "p 2"]:
        """Draw the points of one picture's matching, the same for every layer and mask."""
        return uniform_points(self.config.num_points, device, self.generator)

    def loss(
        self,
        logits: Float[Tensor, "n h w"],
        known: Bool[Tensor, "i j"] | None,
    ) -> Float[Tensor, "n p 2"]:
        """Draw the points of a picture's masks: mostly where they are undecided, the rest anywhere.

        They choose among the same candidates: what each of them sees is distributed as if it had
        its own, and sixty masks draw as fast as one.
        """
        config, rows, device = self.config, len(logits), logits.device
        candidates = uniform_points(
            int(config.num_points * config.oversample_ratio), device, self.generator
        )
        unknown = None
        if known is not None:
            unknown = known_weights(known, candidates[None])[0] == 0
        count = int(config.num_points * config.importance_ratio)
        chosen = uncertain_points(logits, candidates, unknown, count)
        rest = uniform_points(config.num_points - count, device, self.generator)
        return torch.cat([chosen, rest.expand(rows, -1, -1)], dim=1)


class Criterion(MatchedCriterion):
    """Match queries to objects, then sum class, mask and dice losses over all layers.

    Args:
        num_classes: Real classes.
        config: Weights and points.
    """

    takes_factors = True

    def __init__(self, num_classes: int, config: CriterionConfig) -> None:
        super().__init__(num_classes, config, HungarianMatcher(config))
        self.config = config

    def forward(
        self,
        output: SegmenterOutput | FactoredOutput,
        targets: list[Target],
        *,
        generator: torch.Generator | None = None,
        sampler: PointSampler | None = None,
    ) -> Losses:
        """Judge a batch.

        Args:
            output: The network's output, with auxiliary predictions for deep supervision, or
                with masks as factors, which takes less time and memory.
            targets: One per picture; a picture without objects is welcome.
            generator: Source of the random points.
            sampler: In place of random points.
        """
        sampler = sampler or PointSampler(self.config, generator)
        masks = layered_masks(output)
        known = self.known(targets, masks.size)
        losses = self.judge(
            classes_of_layers(output),
            targets,
            self.compare(masks, targets, known, sampler),
            lambda matches: self.mask_losses(masks, targets, known, matches, sampler),
        )
        if output.texts is None or output.queries is None:
            return losses
        contrast = contrastive_loss(output.queries, output.texts)
        total = losses.total + self.config.contrastive_weight * contrast
        return losses._replace(total=total)

    def known(
        self, targets: list[Target], logits_size: tuple[int, int]
    ) -> list[Bool[Tensor, "i j"] | None]:
        """Mark where each picture's truth is known; None for everywhere."""
        ignored = self.ignored(targets)
        return [None] * len(targets) if ignored is None else [*known_map(ignored, logits_size)]

    def compare(
        self,
        masks: LayeredMasks,
        targets: list[Target],
        known: list[Bool[Tensor, "i j"] | None],
        sampler: PointSampler,
    ) -> Iterator[tuple[ComparedTarget, Iterable[Float[Tensor, "q p"]]]]:
        """Read truth and masks of one picture after the other where they are compared."""
        for picture, (target, seen) in enumerate(zip(targets, known, strict=True)):
            told, points = self.sample(target, seen, sampler)
            yield told, masks.at(picture, points)

    def sample(
        self, target: Target, known: Bool[Tensor, "i j"] | None, sampler: PointSampler
    ) -> tuple[ComparedTarget, Float[Tensor, "p 2"]]:
        """Read one picture's truth where its masks are compared; say where that is."""
        points = sampler.matching(target.labels.device)
        if known is not None:
            points = points[known_weights(known, points[None])[0] > 0]
        return ComparedTarget(target.labels, sample_masks_shared(target.masks, points)), points

    def mask_losses(
        self,
        masks: LayeredMasks,
        targets: list[Target],
        known: list[Bool[Tensor, "i j"] | None],
        matches: list[list[Match]],
        sampler: PointSampler,
    ) -> list[MaskTerms]:
        """Give the losses of every layer's masks.

        Without objects they are zero, yet part of the graph: every process has gradients.
        """
        answers = [
            [answer(len(target.labels), layer[picture]) for layer in matches]
            for picture, target in enumerate(targets)
        ]
        queries = [[layer.queries for layer in layers] for layers in answers]
        judged = masks.judge(queries, lambda picture, _, drawn: sampler.loss(drawn, known[picture]))
        terms: list[list[MaskTerms]] = [[] for _ in matches]
        for target, seen, layers, given in zip(targets, known, judged, answers, strict=True):
            truth = sample_masks(target.masks, [points for _, points in layers])
            for index, (_, answered) in enumerate(given):
                # Let go of each: those of five hundred objects in all layers are half a gigabyte.
                (logits, points), true = layers.pop(0), truth.pop(0)
                weights = answered.expand(logits.shape)
                if seen is not None:
                    weights = weights * known_weights(seen, points)
                true.mul_(weights)
                terms[index].append(point_losses(logits, true, weights, self.weights[1:]))
        num_masks = self.masks_per_process(sum(len(target.labels) for target in targets))
        return [
            MaskTerms(*(torch.stack(parts).sum() / num_masks for parts in zip(*layer, strict=True)))
            for layer in terms
        ]


def classes_of_layers(
    output: SegmenterOutput | FactoredOutput,
) -> Sequence[Float[Tensor, "b q k"]]:
    """Give the class logits of every layer, the last one last."""
    if isinstance(output, FactoredOutput):
        return output.class_logits
    return [*(layer.class_logits for layer in output.auxiliary), output.class_logits]


def answer(objects: int, pairs: Match) -> Answer:
    """Put the matched queries in the order of the objects."""
    queries = pairs[0].new_zeros(objects)
    given = pairs[0].new_zeros(objects, 1, dtype=torch.float32)
    queries[pairs[1]] = pairs[0]
    given[pairs[1]] = 1
    return Answer(queries, given)
