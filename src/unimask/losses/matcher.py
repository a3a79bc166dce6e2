"""Which query answers for which object."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from unimask.config import LossConfig
from unimask.losses.mask_losses import binary_cost, class_cost, dice_cost

Match = tuple[Int[Tensor, " _"], Int[Tensor, " _"]]
"""Query index and target index of each pair, in the order of the queries."""


DEAR = 1e9
"""In place of a cost that is not finite: above any other, yet their sum still tells 1e-7 apart."""


MaskCost = Callable[[Float[Tensor, "q p"], Float[Tensor, "n p"]], Float[Tensor, "q n"]]
"""Costs of every pair of logits and truth, read at the same places."""


class ComparedTarget(NamedTuple):
    """The truth of one picture where masks are compared, all of it known.

    Attributes:
        labels: Label id per object.
        masks: Truth per object and place.
    """

    labels: Int[Tensor, " n"]
    masks: Float[Tensor, "n p"]


class HungarianMatcher:
    """Pair queries and objects so that the sum of costs is least.

    Unlike the loss, the class cost is a probability, not its logarithm: it stays on the scale of
    the mask costs (DETR, 3.1).

    Args:
        config: Weights of the three costs, the same as those of the losses.
        mask_cost: The second of them, which is the mask loss of every pair.
    """

    def __init__(self, config: LossConfig, mask_cost: MaskCost = binary_cost) -> None:
        self.config, self.mask_cost = config, mask_cost

    @torch.no_grad()
    def costs(
        self,
        class_logits: Float[Tensor, "q k"],
        mask_logits: Float[Tensor, "q p"],
        target: ComparedTarget,
    ) -> Float[Tensor, "q n"]:
        """Give the cost of every pair of one picture, in float32 also under autocast.

        Args:
            class_logits: Of every query.
            mask_logits: Of every query, where the target's masks were read.
            target: The truth.
        """
        with torch.autocast(class_logits.device.type, enabled=False):
            logits = mask_logits.float()
            return (
                self.config.class_weight * class_cost(class_logits.float(), target.labels)
                + self.config.mask_weight * self.mask_cost(logits, target.masks)
                + self.config.dice_weight * dice_cost(logits, target.masks)
            )

    def match(
        self,
        class_logits: Float[Tensor, "q k"],
        mask_logits: Float[Tensor, "q p"],
        target: ComparedTarget,
    ) -> Match:
        """Give the cheapest pairs; as many as there are objects, or queries if those are fewer."""
        return self.match_all([(class_logits, mask_logits, target)])[0]

    def match_all(self, questions: Iterable[tuple[Tensor, Tensor, ComparedTarget]]) -> list[Match]:
        """Give what `match` gives, for many predictions at once.

        The host solves them when all costs are known: it waits once for a GPU, not for each.
        Costs that are not finite count as very dear, so that a diverging network cannot stop the
        assignment: its loss says so instead.
        """
        costs = [self.costs(*question) for question in questions]
        flat = torch.cat([cost.flatten() for cost in costs])
        known = torch.nan_to_num(flat, nan=DEAR, posinf=DEAR, neginf=DEAR).cpu()
        parts = known.split([cost.numel() for cost in costs])
        solved = [
            linear_sum_assignment(part.view(cost.shape).numpy())
            for part, cost in zip(parts, costs, strict=True)
        ]
        pairs = torch.from_numpy(np.concatenate([np.stack(both) for both in solved], axis=1))
        lengths = [len(queries) for queries, _ in solved]
        split = pairs.to(flat.device).split(lengths, dim=1)
        return [(queries, objects) for queries, objects in (both.unbind() for both in split)]
