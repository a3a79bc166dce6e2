import subprocess
import sys

import pytest
import torch

from unimask.errors import SettingsError
from unimask.modeling.build import build_backbone
from unimask.presets import BACKBONES, PRESETS, preset

MILLIONS = {
    "resnet50": 26, "resnet101": 45, "resnet101c": 45,
    "swin-tiny": 28, "swin-small": 50, "swin-base": 88, "swin-large": 197,
    "convnext-tiny": 29, "convnext-small": 50, "convnext-base": 89, "convnext-large": 198,
    "convnext-xlarge": 350,
    "dinat-tiny": 28, "dinat-small": 51, "dinat-base": 90, "dinat-large": 201,
}  # fmt: skip
"""Parameters of the classifiers of ImageNet's thousand classes, as their authors tell them."""


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_have_the_published_parameters(name):
    with torch.device("meta"):
        state = build_backbone(BACKBONES[name]).state_dict()
    norms = {n for n in state if n.startswith("norm")}
    counted = sum(v.numel() for n, v in state.items() if n not in norms and "running" not in n)
    last = BACKBONES[name].channels[-1] if "resnet" in name else state["norm3.weight"].numel()
    norm = 0 if "resnet" in name else 2 * last
    assert round((counted + norm + 1000 * (last + 1)) / 1e6) == MILLIONS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_take_the_number_of_classes(name):
    assert preset(name, 7).num_classes == 7


def test_an_unknown_preset_lists_the_known():
    with pytest.raises(SettingsError, match="mask2former-swin-tiny"):
        preset("mask2former-huge", 3)


def test_presets_need_no_torch():
    code = "import sys, unimask.presets; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "False"
