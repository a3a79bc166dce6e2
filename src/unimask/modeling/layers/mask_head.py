"""Class and mask logits from queries."""

from jaxtyping import Float
from torch import Tensor, nn

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
    """

    def __init__(self, *, dim: int, mask_dim: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.class_embed = nn.Linear(dim, num_classes + 1)
        self.mask_embed = MLP(dim, dim, mask_dim, num_layers=3)

    def forward(
        self, queries: Float[Tensor, "b q c"], mask_features: Float[Tensor, "b d h w"]
    ) -> LayerPrediction:
        """Predict classes and masks."""
        queries = self.norm(queries)
        mask_logits = predict_masks(self.mask_embed(queries), mask_features)
        return LayerPrediction(self.class_embed(queries), mask_logits)

    def masks(
        self, queries: Float[Tensor, "b q c"], mask_features: Float[Tensor, "b d h w"]
    ) -> Float[Tensor, "b q h w"]:
        """Predict masks alone, for layers whose classes nobody asks for."""
        return predict_masks(self.mask_embed(self.norm(queries)), mask_features)
