"""The prediction head: class and mask logits from queries."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.anchors import Anchors, EllipseHead
from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.layers.mlp import MLP
from unimask.outputs import FactoredOutput, LayerPrediction


class MaskHead(nn.Module):
    """Prediction head that all decoder layers share.

    Args:
        dim: Number of channels of the queries.
        mask_dim: Number of channels of the mask features.
        num_classes: Number of classes; one more output is added for "no object".
        anchored: Whether some queries have anchors; the logits of an ellipse around the anchor are
            added to their masks.
        activation: Activation function of the mask embedding.
        norm_eps: Number added to variances in normalization.
    """

    def __init__(
        self,
        *,
        dim: int,
        mask_dim: int,
        num_classes: int,
        anchored: bool = False,
        activation: Callable[[Tensor], Tensor] = F.relu,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.class_embed = nn.Linear(dim, num_classes + 1)
        self.mask_embed = MLP(dim, dim, mask_dim, num_layers=3, activation=activation)
        if anchored:
            self.ellipse = EllipseHead(dim)

    def forward(
        self,
        queries: Float[Tensor, "b q c"],
        mask_features: MaskFeatures,
        anchors: Anchors | None = None,
    ) -> LayerPrediction:
        """Predict classes and masks.

        Args:
            queries: Query features.
            mask_features: Mask features.
            anchors: Anchors of the last queries, or None.
        """
        (prediction,) = self.predict_layers([queries], mask_features, anchors)
        return prediction

    def predict_layers(
        self,
        states: list[Float[Tensor, "b q c"]],
        mask_features: MaskFeatures,
        anchors: Anchors | None,
    ) -> tuple[LayerPrediction, ...]:
        """Predict classes and masks for the queries of several layers.

        All masks are one product with the mask features, so that the backward pass computes the
        gradient of the features once, not once per layer.
        """
        queries = self.norm(torch.cat(states, dim=1) if len(states) > 1 else states[0])
        count = states[0].shape[1]
        classes = self.class_embed(queries).split(count, dim=1)
        masks = mask_features.layer_masks(self.mask_embed(queries), count)
        masks = [
            self.add_ellipses(layer_masks, layer_queries, anchors)
            for layer_masks, layer_queries in zip(masks, queries.split(count, dim=1), strict=True)
        ]
        return tuple(LayerPrediction(*pair) for pair in zip(classes, masks, strict=True))

    def factored(
        self, states: list[Float[Tensor, "b q c"]], mask_features: MaskFeatures
    ) -> FactoredOutput:
        """Predict classes for the queries of several layers, and masks as factors."""
        queries = self.norm(torch.cat(states, dim=1))
        classes = self.class_embed(queries).split(states[0].shape[1], dim=1)
        return FactoredOutput(tuple(classes), mask_features.factors(self.mask_embed(queries)))

    def classes(self, queries: Float[Tensor, "b q c"]) -> Float[Tensor, "b q k"]:
        """Predict classes only."""
        return self.class_embed(self.norm(queries))

    def masks(
        self,
        queries: Float[Tensor, "b q c"],
        mask_features: MaskFeatures,
        anchors: Anchors | None = None,
    ) -> Float[Tensor, "n q h w"]:
        """Predict masks only."""
        queries = self.norm(queries)
        mask_logits = mask_features.masks(self.mask_embed(queries))
        return self.add_ellipses(mask_logits, queries, anchors)

    def add_ellipses(
        self,
        mask_logits: Float[Tensor, "n q h w"],
        queries: Float[Tensor, "b q c"],
        anchors: Anchors | None,
    ) -> Float[Tensor, "n q h w"]:
        """Add the logits of ellipses to the masks of normalized queries that have an anchor."""
        if anchors is None:
            return mask_logits
        first = queries.shape[1] - anchors.radii.shape[1]
        ellipses = self.ellipse(queries[:, first:], anchors, mask_logits.shape[-2:])
        return torch.cat([mask_logits[:, :first], mask_logits[:, first:] + ellipses], dim=1)
