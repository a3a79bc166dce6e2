"""Mask arithmetic: what masks are made of, and what they forbid."""

from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unimask.kernels.linear import learns
from unimask.kernels.mask_product import mask_product, masks_of
from unimask.outputs import MaskFactors


class MaskFeatures(NamedTuple):
    """Features of every cell, before their last, pointwise projection (Mask2Former, 3.2).

    A mask is a dot product of features and an embedding. Both are linear, so the projection may
    go to the embeddings instead: they are hundreds, the cells tens of thousands.

    Attributes:
        maps: What the projection reads, or the features themselves.
        projection: None: there is none.
    """

    maps: Float[Tensor, "b c h w"]
    projection: nn.Conv2d | None = None

    def masks(self, embed: Float[Tensor, "b q d"]) -> Float[Tensor, "b q h w"]:
        """Score every cell against every query: one dot product per pair."""
        return masks_of(*self.project(embed), self.maps)

    def of_layers(
        self, embed: Float[Tensor, "b q d"], count: int
    ) -> tuple[Float[Tensor, "b _ h w"], ...]:
        """Do the same for layers with `count` queries each."""
        if learns(embed):
            return mask_product(*self.project(embed), self.maps, count)
        return self.masks(embed).split(count, dim=1)

    def factors(self, embed: Float[Tensor, "b n d"]) -> MaskFactors:
        """Give the masks of all layers' queries undrawn."""
        return MaskFactors(*self.project(embed), self.maps)

    def project(
        self, embed: Float[Tensor, "b q d"]
    ) -> tuple[Float[Tensor, "b q c"], Float[Tensor, "b q 1"]]:
        """Give embeddings for the maps as they are, and what is added to each mask."""
        if self.projection is None:
            return embed, embed.new_zeros(*embed.shape[:2], 1)
        weight, bias = self.projection.weight.flatten(1), self.projection.bias
        return embed @ weight, (embed @ bias)[..., None]  # type: ignore[operator]

    def projected(self) -> Float[Tensor, "b d h w"]:
        """Give the features of every cell."""
        return self.maps if self.projection is None else self.projection(self.maps)

    def at_size(self, size: tuple[int, int]) -> "MaskFeatures":
        """Resize to a coarser map, without gradients.

        Masks are linear in the features: those of resized features are the resized masks, and
        resizing features once costs less than the masks of every query in every layer.
        """
        maps = F.interpolate(self.maps.detach(), size, mode="bilinear", align_corners=False)
        return self._replace(maps=maps)


def blocked_positions(mask_logits: Float[Tensor, "b q h w"]) -> Bool[Tensor, "b q n"]:
    """Mark the memory positions that each query may not attend to.

    A query looks only inside the mask it drew at the previous layer (Mask2Former, 3.2.1).
    One whose mask is empty looks everywhere: a fully blocked row would make softmax NaN.
    """
    # As released: not `< 0`, which rounds differently.
    blocked = mask_logits.detach().sigmoid().flatten(2) < 0.5
    return blocked & ~blocked.all(dim=-1, keepdim=True)
