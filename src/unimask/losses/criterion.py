"""Mask2Former's loss: masks compared at sampled points (Mask2Former, 3.3)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unimask.config import CriterionConfig
from unimask.losses.contrastive import contrastive_loss
from unimask.losses.layered_masks import LayeredMasks, layered_masks
from unimask.losses.mask_losses import smoothing_of
from unimask.losses.matched import Losses, MatchedCriterion
from unimask.losses.matcher import ComparedTarget, HungarianMatcher, Match, assign
from unimask.losses.point_losses import MaskTerms, point_losses
from unimask.losses.point_sampler import PointSampler
from unimask.losses.points import (
    known_map,
    known_weights,
    pool_masks,
    sample_masks,
    sample_masks_shared,
)
from unimask.outputs import FactoredOutput, SegmenterOutput, Target


class MatchedQueries(NamedTuple):
    """The query of a layer that is matched with each object of an image.

    Attributes:
        queries: Query index of each object; 0 for objects without a match.
        is_matched: 1 for objects with a match, 0 for the others.
    """

    queries: Int[Tensor, " n"]
    is_matched: Float[Tensor, "n 1"]


class Criterion(MatchedCriterion):
    """Match queries with objects; sum class, mask and dice losses over all layers.

    Args:
        num_classes: Number of classes, without "no object".
        config: Weights, and the number and choice of points.
    """

    takes_factors = True

    def __init__(self, num_classes: int, config: CriterionConfig) -> None:
        super().__init__(num_classes, config)
        self.matcher = HungarianMatcher(config, dice_smoothing=config.dice_smoothing)
        self.config = config

    def forward(
        self,
        output: SegmenterOutput | FactoredOutput,
        targets: list[Target],
        *,
        generator: torch.Generator | None = None,
        sampler: PointSampler | None = None,
    ) -> Losses:
        """Compute the losses of a batch.

        Queries of clips are matched by their masks in all frames, compared at the same points. Each
        frame of an object is a mask of its own in the mask losses, which are divided by the number
        of objects (`mask2former_video/modeling/{matcher,criterion}.py`).

        Args:
            output: Output of the network, with auxiliary predictions for deep supervision, or with
                masks as factors, which takes less time and memory.
            targets: Ground truth of each image, or of each frame of each clip, whose frames have
                the same objects in the same order; images without objects are allowed.
            generator: Random generator of the points; None for PyTorch's default.
            sampler: Source of the points, in place of random ones.
        """
        sampler = sampler or PointSampler(self.config, generator)
        masks, class_logits = layered_masks(output), layer_class_logits(output)
        known = self.known_maps(targets, masks.size)
        # Match each layer's queries with the objects (DETR, equation 1).
        matches = self.match(class_logits, masks, targets, known, sampler)
        # Cross entropy of the classes, binary cross entropy and dice loss of the masks (3.3).
        frames = len(targets) // len(class_logits[0])
        class_losses = self.class_losses(class_logits, targets[::frames], matches)
        mask_losses = self.mask_losses(masks, targets, known, matches, sampler)
        losses = self.sum_losses(class_losses, mask_losses)
        if output.text_queries is None or output.object_queries is None:
            return losses
        # Query-text contrastive loss (OneFormer, equation 1).
        contrast = contrastive_loss(output.object_queries, output.text_queries)
        total = losses.total + self.config.contrastive_weight * contrast
        return losses._replace(total=total)

    def known_maps(
        self, targets: list[Target], logits_size: tuple[int, int]
    ) -> list[Bool[Tensor, "i j"] | None]:
        """Mark where the ground truth of each image is known; None for everywhere."""
        ignored = self.ignored_pixels(targets)
        return [None] * len(targets) if ignored is None else [*known_map(ignored, logits_size)]

    @torch.no_grad()
    def match(
        self,
        class_logits: Sequence[Float[Tensor, "b q k"]],
        masks: LayeredMasks,
        targets: list[Target],
        known: list[Bool[Tensor, "i j"] | None],
        sampler: PointSampler,
    ) -> list[list[Match]]:
        """Match the queries of every layer with the objects of every image or clip.

        Returns:
            Matches of each layer and image or clip.
        """
        costs = []
        frames = len(targets) // len(class_logits[0])
        for clip in range(len(class_logits[0])):
            compared, layers = [], []
            points = None
            if self.config.matching != "cells":
                points = sampler.matching_points(targets[0].labels.device)
            for image in range(clip * frames, (clip + 1) * frames):
                target, part = self.compare(image, targets[image], known[image], masks, points)
                compared.append(target)
                layers.append(part)
            joined = compared[0]._replace(masks=join([target.masks for target in compared]))
            for logits, *parts in zip(class_logits, *layers, strict=True):
                costs.append(self.matcher.costs(logits[clip], join(parts), joined))
        pairs = assign(costs)
        return [pairs[layer :: len(class_logits)] for layer in range(len(class_logits))]

    def compare(
        self,
        image: int,
        target: Target,
        known: Bool[Tensor, "i j"] | None,
        masks: LayeredMasks,
        points: Float[Tensor, "p 2"] | None,
    ) -> tuple[ComparedTarget, Iterable[Float[Tensor, "q _"]]]:
        """Return the ground truth of an image and all its masks, layer by layer, to be compared.

        Args:
            image: Index of the image.
            target: Its ground truth.
            known: Where its ground truth is known; None for everywhere.
            masks: Masks of all images.
            points: Points at which masks are compared; None for all cells.
        """
        if points is None:
            compared, cells = self.pool_target(target, known, masks.size)
            return compared, masks.at_cells(image, cells)
        compared, points = self.sample_target(target, known, points)
        return compared, masks.at_points(image, points)

    def sample_target(
        self, target: Target, known: Bool[Tensor, "i j"] | None, points: Float[Tensor, "p 2"]
    ) -> tuple[ComparedTarget, Float[Tensor, "_ 2"]]:
        """Sample an image's ground truth at points, and return these without unknown ones."""
        if known is not None:
            points = points[known_weights(known, points[None])[0] > 0]
        return ComparedTarget(target.labels, sample_masks_shared(target.masks, points)), points

    def pool_target(
        self, target: Target, known: Bool[Tensor, "i j"] | None, size: tuple[int, int]
    ) -> tuple[ComparedTarget, Int[Tensor, " p"] | None]:
        """Average an image's ground truth over each cell of the predicted masks.

        Cells of unknown ground truth are left out.

        Returns:
            The ground truth, and the indices of its cells; None for all cells.
        """
        masks = pool_masks(target.masks, size)
        if known is None:
            return ComparedTarget(target.labels, masks), None
        unknown = F.adaptive_max_pool2d((~known).float()[None], size)
        (cells,) = (unknown.flatten() == 0).nonzero(as_tuple=True)
        return ComparedTarget(target.labels, masks.index_select(1, cells)), cells

    def mask_losses(
        self,
        masks: LayeredMasks,
        targets: list[Target],
        known: list[Bool[Tensor, "i j"] | None],
        matches: list[list[Match]],
        sampler: PointSampler,
    ) -> list[MaskTerms]:
        """Compute the mask and dice losses of each layer's matched masks at sampled points.

        Without objects they are zero, but depend on the network, so that every process has
        gradients.
        """
        frames = len(targets) // len(matches[0])
        matched = [
            [matched_queries(len(target.labels), layer[image // frames]) for layer in matches]
            for image, target in enumerate(targets)
        ]
        device = targets[0].labels.device
        candidates = [[sampler.candidates(each, device) for _ in matches] for each in known]
        queries = [[layer.queries for layer in layers] for layers in matched]
        sampled = masks.sample_uncertain(queries, candidates)
        terms: list[list[MaskTerms]] = [[] for _ in matches]
        for target, known_here, layers, matched_layers in zip(
            targets, known, sampled, matched, strict=True
        ):
            ground_truth = sample_masks(target.masks, [points for _, points in layers])
            for index, (_, is_matched) in enumerate(matched_layers):
                # Free each layer's tensors: with 500 objects they take half a gigabyte in all.
                (logits, points), true = layers.pop(0), ground_truth.pop(0)
                weights = is_matched.expand(logits.shape)
                if known_here is not None:
                    weights = weights * known_weights(known_here, points)
                true.mul_(weights)
                smoothing = smoothing_of(self.config.dice_smoothing, true.shape[1])
                terms[index].append(
                    point_losses(logits, true, weights, self.weights[1:], smoothing)
                )
        num_masks = self.masks_per_process(sum(len(target.labels) for target in targets[::frames]))
        return [
            MaskTerms(*(torch.stack(parts).sum() / num_masks for parts in zip(*layer, strict=True)))
            for layer in terms
        ]


def join(parts: Sequence[Float[Tensor, "n _"]]) -> Float[Tensor, "n p"]:
    """Join the points of all frames of a clip."""
    return parts[0] if len(parts) == 1 else torch.cat([*parts], dim=1)


def layer_class_logits(
    output: SegmenterOutput | FactoredOutput,
) -> Sequence[Float[Tensor, "b q k"]]:
    """Return the class logits of every layer, the last layer last."""
    if isinstance(output, FactoredOutput):
        return output.class_logits
    return [*(layer.class_logits for layer in output.auxiliary), output.class_logits]


def matched_queries(objects: int, pairs: Match) -> MatchedQueries:
    """Order the matched queries of an image by object."""
    queries = pairs[0].new_zeros(objects)
    is_matched = pairs[0].new_zeros(objects, 1, dtype=torch.float32)
    queries[pairs[1]] = pairs[0]
    is_matched[pairs[1]] = 1
    return MatchedQueries(queries, is_matched)
