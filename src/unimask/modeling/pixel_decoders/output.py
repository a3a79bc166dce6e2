"""The output of every pixel decoder."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from unimask.modeling.layers.masks import MaskFeatures


class PixelDecoderOutput(NamedTuple):
    """Mask features, and the maps that queries attend to.

    Attributes:
        mask_features: Mask features at stride 4.
        multi_scale_features: Refined maps at strides 32, 16 and 8, for masked attention.
        coarse: Map at stride 32 that the pyramid is built on, for MaskFormer's decoder.
    """

    mask_features: MaskFeatures
    multi_scale_features: tuple[Tensor, ...]
    coarse: Float[Tensor, "b d i j"]
