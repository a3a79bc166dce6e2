"""Mask logits from mask features."""

from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.mask_product import layer_mask_logits, mask_logits
from unimask.outputs import MaskFactors


class MaskFeatures(NamedTuple):
    """Mask features before their last, pointwise projection (Mask2Former, 3.2).

    A mask is the dot product of features and an embedding. Both are linear, so the projection can
    be applied to the embeddings instead: there are hundreds of them, and tens of thousands of
    pixels.

    Attributes:
        maps: Input of the projection, or the mask features themselves, of n images, or of the
            frames of all clips in order.
        projection: The projection; None if there is none.
        frames: Number of frames per clip; 1 for images. The queries of a clip have a mask in each
            of its frames.
    """

    maps: Float[Tensor, "n c h w"]
    projection: nn.Conv2d | None = None
    frames: int = 1

    def masks(self, embed: Float[Tensor, "b q d"]) -> Float[Tensor, "n q h w"]:
        """Compute the mask logits of every query."""
        return mask_logits(*self.project(embed), self.maps)

    def layer_masks(
        self, embed: Float[Tensor, "b q d"], count: int
    ) -> tuple[Float[Tensor, "n _ h w"], ...]:
        """Compute the mask logits of several layers with `count` queries each."""
        return layer_mask_logits(*self.project(embed), self.maps, count)

    def factors(self, embed: Float[Tensor, "b q d"]) -> MaskFactors:
        """Return embeddings and features whose products are the masks, without computing these."""
        return MaskFactors(*self.project(embed), self.maps)

    def project(
        self, embed: Float[Tensor, "b q d"]
    ) -> tuple[Float[Tensor, "n q c"], Float[Tensor, "n q 1"]]:
        """Apply the transposed projection to embeddings; return them and the bias of each mask.

        Those of a clip are repeated for each frame.
        """
        if self.projection is None:
            projected, offset = embed, embed.new_zeros(*embed.shape[:2], 1)
        else:
            weight, bias = self.projection.weight.flatten(1), self.projection.bias
            projected, offset = embed @ weight, (embed @ bias)[..., None]  # type: ignore[operator]
        if self.frames == 1:
            return projected, offset
        return tuple(part.repeat_interleave(self.frames, 0) for part in (projected, offset))  # type: ignore[return-value]

    def projected(self) -> Float[Tensor, "n d h w"]:
        """Compute the mask features."""
        return self.maps if self.projection is None else self.projection(self.maps)

    def at_size(self, size: tuple[int, int]) -> "MaskFeatures":
        """Resize the features to a coarser map, without gradients.

        Masks are linear in the features: the masks of resized features are the resized masks, and
        resizing features once costs less than resizing the masks of every query in every layer.
        """
        maps = F.interpolate(self.maps.detach(), size, mode="bilinear", align_corners=False)
        return self._replace(maps=maps)
