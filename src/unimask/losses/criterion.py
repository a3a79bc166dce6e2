"""The loss of a whole prediction: every layer matched and judged on its own."""

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unimask.config import CriterionConfig
from unimask.losses.contrastive import contrastive_loss
from unimask.losses.mask_losses import binary_loss, dice_loss
from unimask.losses.matcher import HungarianMatcher, Match, SampledTarget
from unimask.losses.points import (
    known_map,
    known_weights,
    sample_logits,
    sample_masks,
    sample_masks_shared,
    uncertain_points,
    uniform_points,
)
from unimask.outputs import LayerPrediction, SegmenterOutput, Target


class Losses(NamedTuple):
    """What a step minimises, and what a person reads.

    `total` sums all layers and terms with their weights, OneFormer's contrast among them. The
    three terms are those of the last layer alone, without weights: they compare across networks
    of any depth.
    """

    total: Float[Tensor, ""]
    class_loss: Float[Tensor, ""]
    mask_loss: Float[Tensor, ""]
    dice_loss: Float[Tensor, ""]


class Truth(NamedTuple):
    """The targets of a batch, laid out once for all layers.

    `masks` holds all pictures' objects one after the other, and `pictures` says whose each is;
    object i of picture j is row `starts[j] + i`. `known` marks where the truth is known
    (`known_map`), None for everywhere.
    """

    masks: Bool[Tensor, "n h w"]
    pictures: Int[Tensor, " n"]
    starts: list[int]
    known: Bool[Tensor, "b i j"] | None
    num_masks: float


class Answer(NamedTuple):
    """What one layer says of every object of the batch, and where that is judged.

    `known` is 0 at points of unknown truth, and at all points of an object that no query answers.
    """

    logits: Float[Tensor, "n h w"]
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


class Criterion(nn.Module):
    """Match queries to objects, then sum class, mask and dice losses over all layers.

    Args:
        num_classes: Real classes.
        config: Weights and points.
    """

    class_weights: Tensor

    def __init__(self, num_classes: int, config: CriterionConfig) -> None:
        super().__init__()
        self.config = config
        self.matcher = HungarianMatcher(config)
        weight = torch.ones(num_classes + 1)
        weight[-1] = config.no_object_weight
        self.register_buffer("class_weights", weight, persistent=False)

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
        layers = [*output.auxiliary, LayerPrediction(output.class_logits, output.mask_logits)]
        matches = [
            [
                self.matcher.match(layer.class_logits[i], layer.mask_logits[i], target)
                for i, target in enumerate(sampled)
            ]
            for layer in layers
        ]
        terms = [
            (self.class_loss(layer.class_logits.float(), targets, pairs), *masks)
            for layer, pairs, masks in zip(
                layers, matches, self.mask_losses(layers, truth, matches, sampler), strict=True
            )
        ]
        weights = (self.config.class_weight, self.config.mask_weight, self.config.dice_weight)
        total = torch.stack(
            [weight * term for layer in terms for weight, term in zip(weights, layer, strict=True)]
        ).sum()
        if output.texts is not None and output.queries is not None:
            contrast = contrastive_loss(output.queries, output.texts)
            total = total + self.config.contrastive_weight * contrast
        return Losses(total, *(term.detach() for term in terms[-1]))

    def lay_out(self, targets: list[Target], logits_size: tuple[int, int]) -> Truth:
        """Put the batch's masks in one tensor and count them over all processes."""
        counts = [len(target.labels) for target in targets]
        starts = [sum(counts[:index]) for index in range(len(counts))]
        masks = targets[0].masks if len(targets) == 1 else torch.cat([t.masks for t in targets])
        ignored = [target.ignored for target in targets]
        known = None
        if self.config.ignore_void and any(void is not None and void.any() for void in ignored):
            nothing = masks.new_zeros(masks.shape[-2:])
            voids = torch.stack([nothing if void is None else void for void in ignored])
            known = known_map(voids, logits_size)
        pictures = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return Truth(
            masks, pictures.to(masks.device), starts, known, mean_over_processes(sum(counts))
        )

    def sample(
        self, target: Target, picture: int, truth: Truth, sampler: PointSampler
    ) -> SampledTarget:
        """Read one picture's truth where its masks are compared."""
        points = sampler.matching(target.labels.device)
        row = torch.tensor([picture], device=points.device)
        points = points[known_weights(truth.known, points[None], row)[0] > 0]
        return SampledTarget(target.labels, sample_masks_shared(target.masks, points), points)

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
        for (logits, points, known), true in zip(answers, masks, strict=True):
            true.mul_(known)
            sampled = sample_logits(logits, points)
            both = binary_loss(sampled, true, known), dice_loss(sampled, true, known)
            losses.append((both[0] / truth.num_masks, both[1] / truth.num_masks))
        return losses

    def answer(
        self,
        mask_logits: Float[Tensor, "b q h w"],
        truth: Truth,
        pairs: list[Match],
        sampler: PointSampler,
    ) -> Answer:
        """Put the matched masks in the order of the objects, and draw their points."""
        queries = torch.zeros_like(truth.pictures)
        answered = mask_logits.new_zeros(len(queries), 1, dtype=torch.float32)
        for start, (picture_queries, objects) in zip(truth.starts, pairs, strict=True):
            queries[start + objects] = picture_queries
            answered[start + objects] = 1
        logits = mask_logits[truth.pictures, queries].float()
        with torch.no_grad():
            points = sampler.loss(logits, truth.known, truth.pictures)
            known = answered.expand(points.shape[:2])
            if truth.known is not None:
                known = known * known_weights(truth.known, points, truth.pictures)
        return Answer(logits, points, known)

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
