"""Random points at which masks are compared (Mask2Former, 3.3; PointRend, 3.1)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unimask.config import CriterionConfig
from unimask.losses.points import known_weights, uncertain_points, uniform_points


class PointCandidates(NamedTuple):
    """Random points of which a loss uses the most uncertain ones, and all of the others.

    Attributes:
        candidates: Points (x, y) from 0 to 1 to select from.
        unknown: Candidates without known ground truth, which are selected last; None for none.
        num_selected: Number of candidates that are selected.
        others: Points that are used in any case.
    """

    candidates: Float[Tensor, "c 2"]
    unknown: Bool[Tensor, " c"] | None
    num_selected: int
    others: Float[Tensor, "o 2"]

    def select(self, logits: Float[Tensor, "n h w"]) -> Float[Tensor, "n p 2"]:
        """Return the points of some masks: the most uncertain candidates, then the other points.

        All masks select from the same candidates: what each of them sees is distributed as if it
        had its own, and sixty masks are as fast as one.
        """
        uncertain = uncertain_points(logits, self.candidates, self.unknown, self.num_selected)
        return torch.cat([uncertain, self.others.expand(len(logits), -1, -1)], dim=1)


class PointSampler:
    """Draws the points at which masks are compared; tests replace it by fixed points.

    Args:
        config: Number of points, and how they are selected.
        generator: Random generator; None for PyTorch's default.
    """

    def __init__(self, config: CriterionConfig, generator: torch.Generator | None = None) -> None:
        self.config, self.generator = config, generator

    def matching_points(self, device: torch.device) -> Float[Tensor, "p 2"]:
        """Draw the points of one image's matching, equal for all layers and masks."""
        return uniform_points(self.config.num_points, device, self.generator)

    def candidates(
        self, known: Bool[Tensor, "i j"] | None, device: torch.device
    ) -> PointCandidates:
        """Draw the points from which the losses of one image in one layer select.

        Args:
            known: Where the image's ground truth is known (`known_map`); None for everywhere.
            device: Device of the points.
        """
        config = self.config
        drawn = int(config.num_points * config.oversample_ratio)
        candidates = uniform_points(drawn, device, self.generator)
        unknown = None
        if known is not None:
            unknown = known_weights(known, candidates[None])[0] == 0
        num_selected = int(config.num_points * config.importance_ratio)
        others = uniform_points(config.num_points - num_selected, device, self.generator)
        return PointCandidates(candidates, unknown, num_selected, others)
