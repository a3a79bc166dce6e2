"""Backbones of timm (Wightman 2019), which the extra `timm` brings: any that gives feature maps."""

from importlib import import_module
from types import ModuleType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.errors import MissingExtraError, SettingsError


def import_timm() -> ModuleType:
    """Import timm.

    Raises:
        MissingExtraError: It, or torchvision, which it needs, is missing or does not fit.
    """
    try:
        return import_module("timm")
    except (ImportError, RuntimeError, AttributeError) as error:  # torchvision beside another torch
        raise MissingExtraError("timm with a torchvision that fits this torch", "timm") from error


class Timm(nn.Module):
    """Give the maps of a timm model at strides 4, 8, 16 and 32.

    Args:
        name: What timm calls the model; what follows a dot names weights.
        in_channels: Channels of the picture.

    Raises:
        MissingExtraError: timm cannot be imported.
        SettingsError: It has no such model, or one that lacks a stride or any size of picture.
    """

    strides = (4, 8, 16, 32)

    def __init__(self, *, name: str, in_channels: int) -> None:
        super().__init__()
        create = import_timm().create_model
        try:
            self.model = create(name, pretrained=False, features_only=True, in_chans=in_channels)
            found = list(self.model.feature_info.reduction())
            suits = set(self.strides) <= set(found)
            if suits and self.model.pretrained_cfg.get("fixed_input_size"):  # of these some are not
                with torch.no_grad():
                    self.model.eval()(torch.zeros(1, in_channels, 64, 96))
        except Exception as error:  # its hundred families raise as many kinds
            reason = " ".join(str(error).split())
            told = f"timm gives no feature maps of {name!r} for pictures of any size: {reason}"
            raise SettingsError(told) from error
        if not suits:
            told = ", ".join(map(str, found))
            raise SettingsError(f"timm's {name} has strides {told}; needed are 4, 8, 16 and 32")
        self.model.train()
        self.places = [found.index(stride) for stride in self.strides]
        channels = self.model.feature_info.channels()
        self.channels = tuple(channels[place] for place in self.places)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Give one map per stride; pictures are filled up with zeros as for ConvNeXt."""
        h, w = pixel_values.shape[-2:]
        maps = self.model(F.pad(pixel_values, (0, -w % self.strides[-1], 0, -h % self.strides[-1])))
        if getattr(self.model, "output_fmt", "NCHW") == "NHWC":
            maps = [feature.permute(0, 3, 1, 2) for feature in maps]
        chosen = zip((maps[place] for place in self.places), self.strides, strict=True)
        return tuple(m[..., : -(-h // s), : -(-w // s)].contiguous() for m, s in chosen)
