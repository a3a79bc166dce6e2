"""DETR's encoder in place of a pixel decoder (Carion et al. 2020, 3.2)."""

from torch import Tensor, nn

from unimask.modeling.layers.detr_head import EncodedMaps
from unimask.modeling.pixel_decoders.fpn import MapEncoder


class DetrPixelDecoder(nn.Module):
    """Transformer encoder of the coarsest map; the other maps are returned as they are.

    Args:
        encoder: Encoder.
    """

    def __init__(self, encoder: MapEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: tuple[Tensor, ...]) -> EncodedMaps:
        """Encode the last of the backbone's maps."""
        *finer, coarse = features
        projected = self.encoder.input_proj(coarse)
        return EncodedMaps(projected, self.encoder.encode(projected), tuple(finer[::-1]))
