"""Mask2Former's loss: masks compared at points (Mask2Former, 3.3)."""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.config import CriterionConfig
from unimask.losses.contrastive import contrastive_loss
from unimask.losses.matched import Losses, MatchedCriterion, Truth
from unimask.losses.matcher import ComparedTarget, HungarianMatcher, Match
from unimask.losses.point_losses import point_losses
from unimask.losses.points import (
    known_map,
    known_weights,
    sample_logits_shared,
    sample_masks,
    sample_masks_shared,
    uncertain_points,
    uniform_points,
)
from unimask.outputs import LayerPrediction, SegmenterOutput, Target


class Answer(NamedTuple):
    """Which of a layer's queries answer for the objects of the batch, and where that is judged.

    `known` is 0 at points of unknown truth, and at all points of an object that no query answers.
    The masks themselves are left where they are: copies of all layers' would be the largest part
    of what many objects take.
    """

    queries: Int[Tensor, " n"]
    points: Float[Tensor, "n p 2"]
    known: Float[Tensor, "n p"]


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
        known: Bool[Tensor, "b i j"] | None,
        pictures: Int[Tensor, " n"],
    ) -> Float[Tensor, "n p 2"]:
        """Draw each mask's points: mostly where it is undecided, the rest anywhere.

        The masks of a layer choose among the same candidates: what each of them sees is
        distributed as if it had its own, and sixty masks draw as fast as one.
        """
        config, rows, device = self.config, len(logits), logits.device
        candidates = uniform_points(
            int(config.num_points * config.oversample_ratio), device, self.generator
        )
        unknown = None
        if known is not None:
            each = torch.arange(len(known), device=device)
            unknown = known_weights(known, candidates.expand(len(known), -1, -1), each) == 0
            unknown = unknown[pictures]
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

    def __init__(self, num_classes: int, config: CriterionConfig) -> None:
        super().__init__(num_classes, config, HungarianMatcher(config))
        self.config = config

    def forward(
        self,
        output: SegmenterOutput,
        targets: list[Target],
        *,
        generator: torch.Generator | None = None,
        sampler: PointSampler | None = None,
    ) -> Losses:
        """Judge a batch.

        Args:
            output: The network's output, with auxiliary predictions for deep supervision.
            targets: One per picture; a picture without objects is welcome.
            generator: Source of the random points.
            sampler: In place of random points.
        """
        sampler = sampler or PointSampler(self.config, generator)
        height, width = output.mask_logits.shape[-2:]
        truth = self.lay_out(targets, (height, width))
        sampled = [self.sample(t, i, truth, sampler) for i, t in enumerate(targets)]
        losses = self.judge(
            output,
            targets,
            sampled,
            lambda layers, matches: self.mask_losses(layers, truth, matches, sampler),
        )
        if output.texts is None or output.queries is None:
            return losses
        contrast = contrastive_loss(output.queries, output.texts)
        total = losses.total + self.config.contrastive_weight * contrast
        return losses._replace(total=total)

    def known(
        self, ignored: Bool[Tensor, "b h w"], logits_size: tuple[int, int]
    ) -> Bool[Tensor, "b i j"]:
        """Mark where a point's truth is known."""
        return known_map(ignored, logits_size)

    def sample(
        self, target: Target, picture: int, truth: Truth, sampler: PointSampler
    ) -> ComparedTarget:
        """Read one picture's truth where its masks are compared."""
        points = sampler.matching(target.labels.device)
        if truth.known is not None:
            row = torch.tensor([picture], device=points.device)
            points = points[known_weights(truth.known, points[None], row)[0] > 0]
        masks = sample_masks_shared(target.masks, points)
        return ComparedTarget(target.labels, masks, partial(sample_logits_shared, points=points))

    def mask_losses(
        self,
        layers: list[LayerPrediction],
        truth: Truth,
        matches: list[list[Match]],
        sampler: PointSampler,
    ) -> list[tuple[Float[Tensor, ""], Float[Tensor, ""]]]:
        """Give every layer's mask and dice loss, without their weights.

        Without objects they are zero, yet part of the graph: every process has gradients.
        """
        answers = [
            self.answer(layer.mask_logits, truth, pairs, sampler)
            for layer, pairs in zip(layers, matches, strict=True)
        ]
        masks = sample_masks(truth.masks, [answer.points for answer in answers])
        losses = []
        for layer, (queries, points, known), true in zip(layers, answers, masks, strict=True):
            true.mul_(known)
            logits = layer.mask_logits[truth.pictures, queries].float()
            both = point_losses(logits, points, true, known)
            losses.append((both[0] / truth.num_masks, both[1] / truth.num_masks))
        return losses

    def answer(
        self,
        mask_logits: Float[Tensor, "b q h w"],
        truth: Truth,
        pairs: list[Match],
        sampler: PointSampler,
    ) -> Answer:
        """Put the matched queries in the order of the objects, and draw their masks' points."""
        queries = torch.zeros_like(truth.pictures)
        answered = mask_logits.new_zeros(len(queries), 1, dtype=torch.float32)
        for start, (picture_queries, objects) in zip(truth.starts, pairs, strict=True):
            queries[start + objects] = picture_queries
            answered[start + objects] = 1
        with torch.no_grad():
            logits = mask_logits[truth.pictures, queries].float()
            points = sampler.loss(logits, truth.known, truth.pictures)
            known = answered.expand(points.shape[:2])
            if truth.known is not None:
                known = known * known_weights(truth.known, points, truth.pictures)
        return Answer(queries, points, known)
