"""ResNet (He et al. 2016), with the stride in the 3x3 convolution as in torchvision."""

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from unimask.modeling.layers.conv_norm import ConvNorm, Norm
from unimask.modeling.layers.recomputable import RecomputableLayer


class BasicBlock(RecomputableLayer):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, norm: Norm, dilation: int
    ) -> None:
        super().__init__()
        self.shortcut = build_shortcut(inputs, outputs, stride=stride, norm=norm)
        self.conv1 = ConvNorm(inputs, outputs, 3, stride=stride, norm=norm, dilation=dilation)
        self.conv2 = ConvNorm(outputs, outputs, 3, norm=norm, dilation=dilation)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:  # noqa: D102
        branch = self.conv2(self.conv1(x).relu_())
        return (branch + self.shortcut(x)).relu_()


class Bottleneck(RecomputableLayer):
    """1x1, 3x3 and 1x1 convolutions with a shortcut; inner channels are a quarter."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, norm: Norm, dilation: int
    ) -> None:
        super().__init__()
        inner = outputs // 4
        self.shortcut = build_shortcut(inputs, outputs, stride=stride, norm=norm)
        self.conv1 = ConvNorm(inputs, inner, 1, norm=norm)
        self.conv2 = ConvNorm(inner, inner, 3, stride=stride, norm=norm, dilation=dilation)
        self.conv3 = ConvNorm(inner, outputs, 1, norm=norm)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:  # noqa: D102
        branch = self.conv3(self.conv2(self.conv1(x).relu_()).relu_())
        return (branch + self.shortcut(x)).relu_()


def build_shortcut(inputs: int, outputs: int, *, stride: int, norm: Norm) -> nn.Module:
    """Build a shortcut: a projection where the shape changes, else the identity."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return ConvNorm(inputs, outputs, 1, stride=stride, norm=norm)


def build_stem(kind: str, in_channels: int, channels: int, *, norm: Norm) -> nn.Sequential:
    """Build the stem to stride 4: a 7x7 convolution, or three 3x3 ("deeplab"), and max pooling."""
    inner = (channels // 2, channels // 2) if kind == "deeplab" else ()
    stem, kernel = nn.Sequential(), 3 if inner else 7
    for index, (inputs, outputs) in enumerate(pairwise((in_channels, *inner, channels)), start=1):
        stride = 2 if index == 1 else 1
        stem.add_module(f"conv{index}", ConvNorm(inputs, outputs, kernel, stride=stride, norm=norm))
        stem.add_module(f"relu{index}", nn.ReLU(inplace=True))
    return stem.append(nn.MaxPool2d(3, stride=2, padding=1))


BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """ResNet with the outputs of its four stages, `res2` to `res5`.

    Args:
        block: "basic" or "bottleneck".
        stem: "basic" or "deeplab".
        stem_channels: Number of channels of the stem.
        channels: Number of output channels per stage.
        depths: Number of blocks per stage.
        norm: "frozen_batch" or "group".
        last_dilations: Dilations of the 3x3 convolutions of the last stage's first blocks.
        in_channels: Number of channels of the image.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        *,
        block: Literal["bottleneck", "basic"],
        stem: Literal["basic", "deeplab"],
        stem_channels: int,
        channels: tuple[int, ...],
        depths: tuple[int, ...],
        norm: Literal["frozen_batch", "group"],
        last_dilations: tuple[int, ...],
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.stem = build_stem(stem, in_channels, stem_channels, norm=norm)
        inputs = stem_channels
        for stage, (outputs, depth) in enumerate(zip(channels, depths, strict=True)):
            blocks = []
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                dilation = 1 if stage < 3 else (*last_dilations, *[1] * depth)[index]
                blocks.append(
                    BLOCKS[block](inputs, outputs, stride=stride, norm=norm, dilation=dilation)
                )
                inputs = outputs
            self.add_module(f"res{stage + 2}", nn.Sequential(*blocks))

    def forward(self, pixel_values: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Compute one map per stage, at strides 4, 8, 16 and 32."""
        x = self.stem(pixel_values)
        maps = []
        for stage in range(2, 6):
            x = self.get_submodule(f"res{stage}")(x)
            maps.append(x)
        return tuple(maps)

    def set_last_stride(self, stride: int) -> None:
        """Change the stride of the last stage, which is 2 otherwise."""
        for module in self.get_submodule("res5.0").modules():
            if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                module.stride = (stride, stride)
