"""Hungarian matching of queries and objects (DETR, 3.1)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from unimask.config import CriterionConfig, DenseCriterionConfig
from unimask.losses.mask_losses import binary_cost, class_cost, dice_cost, smoothing_of

Match = tuple[Int[Tensor, " _"], Int[Tensor, " _"]]
"""Query index and object index of each pair, ordered by query."""


NON_FINITE_COST = 1e9
"""Replaces costs that are not finite: above all others, yet sums of costs still resolve 1e-7."""


MaskCost = Callable[[Float[Tensor, "q p"], Float[Tensor, "n p"]], Float[Tensor, "q n"]]
"""Function of mask logits and ground truth at the same points to the cost of every pair."""


class ComparedTarget(NamedTuple):
    """Ground truth of one image at the points where masks are compared.

    Attributes:
        labels: Label id of each object.
        masks: Ground truth of each object at each point.
    """

    labels: Int[Tensor, " n"]
    masks: Float[Tensor, "n p"]


class HungarianMatcher:
    """Minimum-cost assignment of queries to objects.

    Unlike the loss, the class cost is a probability, not its logarithm: it has the scale of the
    mask costs (DETR, 3.1).

    Args:
        config: Weights of the three costs, equal to those of the losses.
        mask_cost: Mask loss of every pair.
        dice_smoothing: Smoothing of the dice cost as a fraction of the points; None for 1 point.
    """

    def __init__(
        self,
        config: CriterionConfig | DenseCriterionConfig,
        mask_cost: MaskCost = binary_cost,
        dice_smoothing: float | None = None,
    ) -> None:
        self.config, self.mask_cost, self.dice_smoothing = config, mask_cost, dice_smoothing

    @torch.no_grad()
    def costs(
        self,
        class_logits: Float[Tensor, "q k"],
        mask_logits: Float[Tensor, "q p"],
        target: ComparedTarget,
    ) -> Float[Tensor, "q n"]:
        """Compute the cost of every pair of one image, in float32 also under autocast.

        Args:
            class_logits: Class logits of every query.
            mask_logits: Mask logits of every query at the target's points.
            target: Ground truth of the image.
        """
        smoothing = smoothing_of(self.dice_smoothing, target.masks.shape[1])
        with torch.autocast(class_logits.device.type, enabled=False):
            logits = mask_logits.float()
            return (
                self.config.class_weight * class_cost(class_logits.float(), target.labels)
                + self.config.mask_weight * self.mask_cost(logits, target.masks)
                + self.config.dice_weight * dice_cost(logits, target.masks, smoothing)
            )

    def match(
        self,
        class_logits: Float[Tensor, "q k"],
        mask_logits: Float[Tensor, "q p"],
        target: ComparedTarget,
    ) -> Match:
        """Match the queries and objects of one image; see `assign`."""
        return assign([self.costs(class_logits, mask_logits, target)])[0]


def assign(costs: Sequence[Float[Tensor, "_ _"]]) -> list[Match]:
    """Solve several assignment problems; each yields min(queries, objects) pairs.

    They are solved on the host when all costs are known, which synchronizes with a GPU once.
    Costs that are not finite are replaced by a large number, so that a diverging network does not
    stop the assignment: its loss reports it instead.

    Args:
        costs: Cost of every pair of query and object, per problem.
    """
    flat = torch.cat([cost.flatten() for cost in costs])
    limit = NON_FINITE_COST
    finite = torch.nan_to_num(flat, nan=limit, posinf=limit, neginf=limit).cpu()
    parts = finite.split([cost.numel() for cost in costs])
    solutions = [
        linear_sum_assignment(part.view(cost.shape).numpy())
        for part, cost in zip(parts, costs, strict=True)
    ]
    pairs = torch.from_numpy(np.concatenate([np.stack(both) for both in solutions], axis=1))
    lengths = [len(queries) for queries, _ in solutions]
    split = pairs.to(flat.device).split(lengths, dim=1)
    return [(queries, objects) for queries, objects in (both.unbind() for both in split)]
