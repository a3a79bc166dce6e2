"""Backbones of timm, tested with a stub of timm."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from unimask.config import TimmConfig
from unimask.errors import MissingExtraError, SettingsError
from unimask.modeling.backbones import Timm
from unimask.modeling.build import build_backbone

FAMILIES = {
    "pyramid.tagged": {"strides": (2, 4, 8, 16, 32)},
    "pyramid": {"strides": (2, 4, 8, 16, 32)},
    "channels_last": {"strides": (4, 8, 16, 32), "output_fmt": "NHWC"},
    "plain": {"strides": (16, 16, 16)},
    "fixed": {"strides": (4, 8, 16, 32), "fixed_input_size": True, "only": 224},
    "fixed_in_name": {"strides": (4, 8, 16, 32), "fixed_input_size": True},
}


class Stages(nn.Module):
    """Stub of a `features_only` model: maps and their description."""

    def __init__(self, strides, in_chans, output_fmt="NCHW", fixed_input_size=False, only=None):
        super().__init__()
        self.only = only
        widths = [3 + index for index in range(len(strides))]
        self.stages = nn.ModuleList(
            nn.Conv2d(in_chans, width, stride, stride)
            for width, stride in zip(widths, strides, strict=True)
        )
        self.output_fmt = output_fmt
        self.pretrained_cfg = {"fixed_input_size": fixed_input_size}
        self.feature_info = SimpleNamespace(
            channels=lambda: widths, reduction=lambda: list(strides)
        )

    def forward(self, pixel_values):
        height = pixel_values.shape[2]
        assert self.only in (None, height), f"Input height ({height}) doesn't match ({self.only})"
        maps = [stage(pixel_values) for stage in self.stages]
        return [m.permute(0, 2, 3, 1) for m in maps] if self.output_fmt == "NHWC" else maps


class Whole(Stages):
    """Stub of a complete model, whose files also contain a class head."""

    def __init__(self, **options):
        super().__init__(**options)
        self.head = nn.Linear(7, 10)


def create_model(name, *, pretrained, in_chans, features_only=False, pretrained_cfg_overlay=None):
    if name not in FAMILIES:
        raise RuntimeError(f"Unknown model\n({name})")
    model = (Stages if features_only else Whole)(in_chans=in_chans, **FAMILIES[name])
    if pretrained:
        if pretrained_cfg_overlay is None:
            raise OSError("no network here")
        # Like timm: missing and unknown tensors are ignored.
        model.load_state_dict(pretrained_cfg_overlay["state_dict"], strict=not features_only)
    return model


def get_pretrained_cfg(name):
    return SimpleNamespace(mean=(0.5, 0.25, 0.0), std=(1.0, 0.5, 0.5)) if "." in name else None


@pytest.fixture
def timm(monkeypatch):
    module = ModuleType("timm")
    module.create_model, module.get_pretrained_cfg = create_model, get_pretrained_cfg
    monkeypatch.setitem(sys.modules, "timm", module)


@pytest.mark.parametrize("size", [(64, 96), (75, 7), (1, 1)], ids=str)
@pytest.mark.parametrize(
    ("name", "channels"),
    [("pyramid", (4, 5, 6, 7)), ("channels_last", (3, 4, 5, 6)), ("fixed_in_name", (3, 4, 5, 6))],
)
def test_maps_have_the_four_strides_whatever_the_size(timm, name, channels, size):
    backbone = build_backbone(TimmConfig(name=name, in_channels=5))
    assert backbone.channels == channels and backbone.strides == (4, 8, 16, 32)
    maps = backbone(torch.zeros(2, 5, *size))
    assert [tuple(feature.shape) for feature in maps] == [
        (2, width, -(-size[0] // stride), -(-size[1] // stride))
        for width, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]


def test_maps_equal_those_of_the_model(timm):
    backbone = build_backbone(TimmConfig(name="pyramid"))
    pixel_values = torch.randn(1, 3, 64, 32)
    for actual, stage in zip(backbone(pixel_values), backbone.model.stages[1:], strict=True):
        torch.testing.assert_close(actual, stage(pixel_values))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plain", "timm's plain has strides 16, 16, 16; 4, 8, 16 and 32 are needed"),
        ("fixed", "'fixed' for images of any size: Input height"),
        ("nobody", r"timm has no feature maps of 'nobody' .* Unknown model \(nobody\)"),
    ],
)
def test_unsuitable_models_are_one_line_errors(timm, name, message):
    with pytest.raises(SettingsError, match=message) as failed:
        Timm(name=name, in_channels=3)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    "error", [ImportError("timm"), RuntimeError("torchvision::nms"), AttributeError("extension")]
)
def test_without_timm_the_extra_is_named(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr("unimask.modeling.backbones.timm.import_module", fail)
    with pytest.raises(MissingExtraError, match=r"timm .* pip install 'unimask\[timm\]'"):
        Timm(name="pyramid", in_channels=3)
