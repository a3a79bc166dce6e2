"""A frozen backbone keeps its weights; the rest of the network is trained."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY_RESNET, tiny_checkpoint

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.config import CriterionConfig
from unimask.datasets.transforms import Augmentation
from unimask.errors import SettingsError
from unimask.modeling.build import build_segmenter
from unimask.training import TrainingSettings, train
from unimask.training.optimizer import build_optimizer

SETTINGS = TrainingSettings(
    steps=3,
    batch_size=2,
    learning_rate=1e-2,
    warmup_steps=0,
    workers=0,
    ema_decay=0.0,
    augmentation=Augmentation(crop=64),
    criterion=CriterionConfig(num_points=64),
)


@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_only_other_weights_change(discs, tmp_path, freeze):
    write_huggingface(tmp_path / "model", tiny_checkpoint(TINY_RESNET))
    start = read_huggingface(tmp_path / "model").state
    settings = replace(SETTINGS, freeze=freeze)
    names = ("object", "background")
    train(discs, str(tmp_path / "model"), out=tmp_path / "run", names=names, settings=settings,
          device="cpu", quiet=True)  # fmt: skip
    end = read_huggingface(tmp_path / "run" / "weights" / "last").state
    trained = {
        name
        for name, value in end.items()
        if name in start
        and value.shape == start[name].shape
        and not torch.equal(value, start[name])
    }
    assert any(not name.startswith("backbone.") for name in trained)
    assert any(name.startswith("backbone.") for name in trained) == (freeze == "none")


def test_frozen_parameters_are_not_optimized():
    network = build_segmenter(TINY_RESNET)
    network.backbone.requires_grad_(False)
    groups = build_optimizer(network, SETTINGS, pretrained=True).param_groups
    counted = sum(parameter.numel() for group in groups for parameter in group["params"])
    backbone = sum(parameter.numel() for parameter in network.backbone.parameters())
    assert counted == sum(p.numel() for p in network.parameters()) - backbone


def test_random_weights_are_not_frozen(discs, tmp_path):
    with pytest.raises(SettingsError, match="freeze backbone needs a pretrained backbone"):
        train(discs, "mask2former-nano", out=tmp_path, freeze="backbone", device="cpu", quiet=True)
    with pytest.raises(SettingsError, match="freeze is 'head': pass none or backbone"):
        train(discs, "mask2former-nano", out=tmp_path, freeze="head", device="cpu", quiet=True)
