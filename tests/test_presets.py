import subprocess
import sys

import pytest
import torch

from unimask.errors import SettingsError
from unimask.inference.untrained import named_backbone
from unimask.modeling.build import build_backbone
from unimask.presets import BACKBONES, PRESETS, preset

MILLIONS = {
    "resnet18": 12, "resnet34": 22, "resnet50": 26, "resnet101": 45, "resnet101c": 45,
    "resnet152": 60,
    "swin-tiny": 28, "swin-small": 50, "swin-base": 88, "swin-large": 197,
    "convnext-tiny": 29, "convnext-small": 50, "convnext-base": 89, "convnext-large": 198,
    "convnext-xlarge": 350,
    "dinat-mini": 20, "dinat-tiny": 28, "dinat-small": 51, "dinat-base": 90, "dinat-large": 201,
    "efficientnet-lite0": 4.7, "efficientnet-lite1": 5.4, "efficientnet-lite2": 6.1,
    "efficientnet-lite3": 8.2, "efficientnet-lite4": 13.0,
}  # fmt: skip
"""Parameters of the classifiers of ImageNet's thousand classes, as published by their authors."""


@pytest.mark.parametrize("name", [name for name in BACKBONES if "lite" not in name])
def test_backbones_have_the_published_parameters(name):
    with torch.device("meta"):
        state = build_backbone(BACKBONES[name]).state_dict()
    norms = {n for n in state if n.startswith("norm")}
    counted = sum(v.numel() for n, v in state.items() if n not in norms and "running" not in n)
    last = BACKBONES[name].channels[-1] if "resnet" in name else state["norm3.weight"].numel()
    norm = 0 if "resnet" in name else 2 * last
    assert round((counted + norm + 1000 * (last + 1)) / 1e6) == MILLIONS[name]


@pytest.mark.parametrize("name", [name for name in BACKBONES if "lite" in name])
def test_efficientnets_have_the_published_parameters(name):
    with torch.device("meta"):
        state = build_backbone(BACKBONES[name]).state_dict()
    counted = sum(v.numel() for n, v in state.items() if "running" not in n)
    head = (BACKBONES[name].channels[-1] + 2) * 1280 + 1281 * 1000
    assert round((counted + head) / 1e6, 1) == MILLIONS[name]


SIZES = {
    "resnet": ("18", "34", "50", "101", "152"),
    "swin-": ("tiny", "small", "base", "large"),
    "convnext-": ("tiny", "small", "base", "large", "xlarge"),
    "dinat-": ("mini", "tiny", "small", "base", "large"),
    "efficientnet-lite": ("0", "1", "2", "3", "4"),
}


@pytest.mark.parametrize(
    "name", [family + size for family, sizes in SIZES.items() for size in sizes]
)
def test_every_published_size_of_a_backbone_is_a_name_that_presets_take(name):
    assert named_backbone(name) == BACKBONES[name]


def test_the_smallest_dinat_equals_the_published_sizes():
    mini = BACKBONES["dinat-mini"]
    assert (mini.embed_dim, mini.num_heads, mini.depths) == (64, (2, 4, 8, 16), (3, 4, 6, 5))
    assert (mini.mlp_ratio, mini.kernel_size, mini.drop_path) == (3.0, 7, 0.2)
    assert mini.dilations == ((1, 16, 1), (1, 4, 1, 8), (1, 2, 1, 3, 1, 4), (1, 2, 1, 2, 1))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_take_the_number_of_classes(name):
    assert preset(name, 7).num_classes == 7


def test_unknown_presets_list_the_known_ones():
    with pytest.raises(SettingsError, match="mask2former-swin-tiny"):
        preset("mask2former-huge", 3)


def test_presets_need_no_torch():
    code = "import sys, unimask.presets; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "False"
