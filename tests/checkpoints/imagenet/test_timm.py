"""Networks on timm backbones, with a stub of timm: files and folders."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY_MASKFORMER, TINY_ONEFORMER, TINY_RESNET, tiny_checkpoint, with_description
from modeling.backbones.test_timm import Whole, timm  # noqa: F401  (a fixture)
from safetensors.torch import save_file

import unimask
from unimask.checkpoints import read_backbone, read_huggingface, write_huggingface
from unimask.checkpoints.imagenet.timm import timm_normalisation
from unimask.config import PreprocessingConfig, TimmConfig
from unimask.errors import CheckpointError, MissingExtraError, SettingsError
from unimask.modeling.build import build_segmenter

pytestmark = pytest.mark.usefixtures("timm")
PYRAMID = TimmConfig(name="pyramid")
FAMILIES = {"mask2former": TINY_RESNET, "oneformer": TINY_ONEFORMER, "maskformer": TINY_MASKFORMER}


def whole_model():
    torch.manual_seed(1)
    return Whole(strides=(2, 4, 8, 16, 32), in_chans=3)


@pytest.mark.parametrize("channels", [3, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_folders_round_trip(tmp_path, family, channels):
    backbone = replace(PYRAMID, in_channels=channels)
    checkpoint = tiny_checkpoint(replace(FAMILIES[family], backbone=backbone))
    rules = checkpoint.description.preprocessing.with_channels(channels)
    write_huggingface(tmp_path, with_description(checkpoint, preprocessing=rules))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "unimask"
    assert config["backbone_config"] == {
        "model_type": "timm_backbone", "backbone": "pyramid", "num_channels": channels,
    }  # fmt: skip
    again = read_huggingface(tmp_path)
    assert (
        again.description.config == checkpoint.description.config
        and again.description.preprocessing == rules
    )
    assert again.state.keys() == checkpoint.state.keys()
    assert all(torch.equal(again.state[name], t) for name, t in checkpoint.state.items())


def test_a_folder_without_timm_names_the_extra(tmp_path, monkeypatch):
    write_huggingface(tmp_path, tiny_checkpoint(replace(TINY_RESNET, backbone=PYRAMID)))

    def fail(name):
        raise ImportError(name)

    monkeypatch.setattr("unimask.modeling.backbones.timm.import_module", fail)
    with pytest.raises(MissingExtraError, match=r"pip install 'unimask\[timm\]'"):
        unimask.load(tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_whole_model_files_load_as_feature_extractors(tmp_path, suffix):
    model, path = whole_model(), tmp_path / f"model{suffix}"
    save_file(model.state_dict(), path) if suffix == ".safetensors" else torch.save(
        model.state_dict(), path
    )
    state = build_segmenter(replace(TINY_RESNET, backbone=PYRAMID)).state_dict()
    actual = read_backbone(path, PYRAMID, state)
    assert actual.keys() == {name for name in state if name.startswith("backbone.")}
    for name, tensor in actual.items():
        assert torch.equal(tensor, model.state_dict()[name.removeprefix("backbone.model.")])


def test_another_models_file_is_refused_in_one_line(tmp_path):
    state = whole_model().state_dict()
    del state["stages.1.weight"]  # timm itself would ignore the missing tensor
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"pyramid are not what .*model\.safetensors"
    ) as raised:
        read_backbone(tmp_path / "model.safetensors", PYRAMID, {})
    assert "\n" not in str(raised.value) and "stages.1.weight" in str(raised.value)


def test_failed_timm_downloads_are_one_line_errors():
    with pytest.raises(CheckpointError, match="pyramid cannot be fetched: no network here"):
        read_backbone(Path("timm"), PYRAMID, {})


def test_images_are_normalised_as_the_weights_require():
    default = PreprocessingConfig(shortest_edge=96)
    assert timm_normalisation(PYRAMID, default) == default  # timm has no normalisation for it
    tagged = timm_normalisation(TimmConfig(name="pyramid.tagged"), default)
    assert tagged == replace(default, mean=(127.5, 63.75, 0.0), std=(255.0, 127.5, 127.5))
    predictor = unimask.build(
        "mask2former-nano", labels=("a",), backbone="timm:pyramid.tagged", channels=4, device="cpu"
    )
    assert predictor.description.preprocessing.mean == (127.5, 63.75, 0.0, 63.75)


def test_unknown_timm_weights_are_one_line_errors(monkeypatch):
    """Recent releases of timm raise where older ones return None."""

    def fail(name):
        raise RuntimeError(f"Invalid pretrained tag (nobody)\nfor {name}")

    monkeypatch.setattr(sys.modules["timm"], "get_pretrained_cfg", fail)
    with pytest.raises(SettingsError, match=r"'pyramid\.nobody': Invalid pretrained tag") as failed:
        timm_normalisation(TimmConfig(name="pyramid.nobody"), PreprocessingConfig())
    assert "\n" not in str(failed.value)
