"""Class and mask logits from queries."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.anchors import Anchors, EllipseHead
from unimask.modeling.layers.masks import predict_masks
from unimask.modeling.layers.mlp import MLP
from unimask.outputs import LayerPrediction


class MaskHead(nn.Module):
    """Turn query features into class logits and mask logits.

    One head serves every decoder layer, so all layers are supervised in the same space.

    Args:
        dim: Width of the queries.
        mask_dim: Channels of the mask features.
        num_classes: Real classes; one more output is added for "no object".
        anchored: Whether some queries have anchors; their masks are a dot product plus an
            ellipse around the anchor.
    """

    def __init__(self, *, dim: int, mask_dim: int, num_classes: int, anchored: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.class_embed = nn.Linear(dim, num_classes + 1)
        self.mask_embed = MLP(dim, dim, mask_dim, num_layers=3)
        if anchored:
            self.ellipse = EllipseHead(dim)

    def forward(
        self,
        queries: Float[Tensor, "b q c"],
        mask_features: Float[Tensor, "b d h w"],
        anchors: Anchors | None = None,
    ) -> LayerPrediction:
        """Predict classes and masks; anchors belong to the last queries."""
        queries = self.norm(queries)
        return LayerPrediction(
            self.class_embed(queries), self.draw(queries, mask_features, anchors)
        )

    def classes(self, queries: Float[Tensor, "b q c"]) -> Float[Tensor, "b q k"]:
        """Predict classes alone."""
        return self.class_embed(self.norm(queries))

    def masks(
        self,
        queries: Float[Tensor, "b q c"],
        mask_features: Float[Tensor, "b d h w"],
        anchors: Anchors | None = None,
    ) -> Float[Tensor, "b q h w"]:
        """Predict masks alone, for layers whose classes nobody asks for."""
        return self.draw(self.norm(queries), mask_features, anchors)

    def draw(
        self,
        queries: Float[Tensor, "b q c"],
        mask_features: Float[Tensor, "b d h w"],
        anchors: Anchors | None,
    ) -> Float[Tensor, "b q h w"]:
        """Predict the masks of normalised queries."""
        mask_logits = predict_masks(self.mask_embed(queries), mask_features)
        if anchors is None:
            return mask_logits
        free = queries.shape[1] - anchors.radii.shape[1]
        ellipses = self.ellipse(queries[:, free:], anchors, mask_logits.shape[-2:])
        return torch.cat([mask_logits[:, :free], mask_logits[:, free:] + ellipses], dim=1)
