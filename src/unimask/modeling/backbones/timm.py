"""Feature backbones of timm (Wightman 2019), which the extra `timm` installs."""

from importlib import import_module
from types import ModuleType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unimask.errors import MissingExtraError, SettingsError, one_line


def import_timm() -> ModuleType:
    """Import timm.

    Raises:
        MissingExtraError: timm, or torchvision, which it needs, is missing or does not match torch.
    """
    try:
        return import_module("timm")
    except (ImportError, RuntimeError, AttributeError) as error:  # torchvision beside another torch
        raise MissingExtraError("timm with a torchvision that fits this torch", "timm") from error


class Timm(nn.Module):
    """Feature maps of a timm model at strides 4, 8, 16 and 32.

    Args:
        name: Name of the model in timm; a tag of pretrained weights may follow a dot.
        in_channels: Number of channels of the image.

    Raises:
        MissingExtraError: timm cannot be imported.
        SettingsError: There is no such model, or it lacks a stride or has a fixed input size.
    """

    strides = (4, 8, 16, 32)

    def __init__(self, *, name: str, in_channels: int) -> None:
        super().__init__()
        create = import_timm().create_model
        try:
            self.model = create(name, pretrained=False, features_only=True, in_chans=in_channels)
            strides = list(self.model.feature_info.reduction())
            has_strides = set(self.strides) <= set(strides)
            # Some models that are marked as fixed accept other sizes.
            if has_strides and self.model.pretrained_cfg.get("fixed_input_size"):
                with torch.no_grad():
                    self.model.eval()(torch.zeros(1, in_channels, 64, 96))
        except Exception as error:  # its hundred families raise as many kinds
            reason = one_line(error, 300)
            message = f"timm has no feature maps of {name!r} for images of any size: {reason}"
            raise SettingsError(message) from error
        if not has_strides:
            listed = ", ".join(map(str, strides))
            raise SettingsError(f"timm's {name} has strides {listed}; 4, 8, 16 and 32 are needed")
        self.model.train()
        self.indices = [strides.index(stride) for stride in self.strides]
        channels = self.model.feature_info.channels()
        self.channels = tuple(channels[index] for index in self.indices)

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Compute one map per stride; images are padded with zeros as for ConvNeXt."""
        h, w = pixel_values.shape[-2:]
        maps = self.model(F.pad(pixel_values, (0, -w % self.strides[-1], 0, -h % self.strides[-1])))
        if getattr(self.model, "output_fmt", "NCHW") == "NHWC":
            maps = [feature.permute(0, 3, 1, 2) for feature in maps]
        selected = zip((maps[index] for index in self.indices), self.strides, strict=True)
        return tuple(m[..., : -(-h // s), : -(-w // s)].contiguous() for m, s in selected)
