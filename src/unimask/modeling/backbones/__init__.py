"""Backbones: from images to features at strides 4, 8, 16 and 32."""

from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from unimask.modeling.backbones.convnext import ConvNeXt
from unimask.modeling.backbones.dinat import DiNAT
from unimask.modeling.backbones.efficientnet_lite import EfficientNetLite
from unimask.modeling.backbones.resnet import ResNet
from unimask.modeling.backbones.swin import Swin
from unimask.modeling.backbones.timm import Timm
from unimask.modeling.backbones.vit import ViT

__all__ = ["Backbone", "ConvNeXt", "DiNAT", "EfficientNetLite", "ResNet", "Swin", "Timm", "ViT"]


class Backbone(Protocol):
    """Interface of every backbone."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __call__(self, pixel_values: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Compute one map per stride, of size ceil(h / stride) by ceil(w / stride)."""
        ...
