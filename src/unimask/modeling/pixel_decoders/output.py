"""What every pixel decoder gives, for any transformer decoder to take its pick."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from unimask.modeling.layers.masks import MaskFeatures


class PixelDecoderOutput(NamedTuple):
    """The maps that masks are made of, and those that queries attend to.

    Attributes:
        mask_features: At stride 4.
        multi_scale_features: Refined maps at strides 32, 16 and 8; masked attention reads them.
        coarse: The map at stride 32 before the pyramid is built on it; MaskFormer's decoder
            reads it.
    """

    mask_features: MaskFeatures
    multi_scale_features: tuple[Tensor, ...]
    coarse: Float[Tensor, "b d i j"]
