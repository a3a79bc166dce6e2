"""The list of published models fits what is known of them elsewhere."""

from dataclasses import replace
from pathlib import Path

import pytest

from unimask.checkpoints.dinat_dilations import told_dilations
from unimask.checkpoints.published import publication_of_size
from unimask.checkpoints.published_networks import MASK2FORMERS as MASK2FORMER_FILES
from unimask.checkpoints.published_networks import MASKFORMERS as MASKFORMER_FILES
from unimask.checkpoints.skeleton import build_skeleton
from unimask.checkpoints.zoo import published_models
from unimask.config import FPNPixelDecoderConfig
from unimask.inference.load import PUBLISHED
from unimask.label_sets import SIZES
from unimask.presets import preset

MODELS = published_models()
MASK2FORMERS = published_models("mask2former-")
ONEFORMERS = published_models("oneformer-")
MASKFORMERS = [m for m in MODELS if m.family in ("maskformer", "per-pixel", "per-pixel-plus")]
LABELS = {"coco": "coco_panoptic", "coco-stuff-10k": "coco_stuff"}


def test_every_published_model_is_listed_once():
    assert len(MASK2FORMERS) == 47 and len(ONEFORMERS) == 21 and len(MASKFORMERS) == 30
    assert len(MODELS) == 47 + 21 + 30
    assert len({model.name for model in MODELS}) == len(MODELS)
    assert all(model.hub or model.file for model in MODELS)
    for models, published in ((MASK2FORMERS, MASK2FORMER_FILES), (MASKFORMERS, MASKFORMER_FILES)):
        hashes = {Path(model.file).stem.removeprefix("model_final_") for model in models}
        assert hashes == {name for publication in published for name in publication.files}


@pytest.mark.parametrize("model", MASK2FORMERS, ids=lambda model: model.name)
def test_files_are_recognised_as_what_they_are_listed_as(model):
    config = preset("mask2former-resnet50", 133)
    dataset = {"coco": "coco", "ade20k": "ade20k"}.get(model.data, model.data.replace("-", "_"))
    sets = {"instance": f"{dataset}_instance", "panoptic": "coco_panoptic"}
    name = sets.get(model.task, dataset) if dataset == "coco" else dataset
    if model.task == "instance":
        name = f"{dataset}_instance"
    config = replace(config, num_classes=SIZES[name])
    found, assumed = publication_of_size(config, Path("/x") / Path(model.file).name)
    assert assumed is None and (found.labels, found.task) == (name, model.task)


def maskformer_of(model):
    """Give the network of a row; its semantic ones have no encoder."""
    labels = LABELS.get(model.data, model.data.replace("-", "_"))
    config = preset(f"{model.family}-{model.backbone}", SIZES[labels])
    if model.task == "semantic":
        config = replace(config, pixel_decoder=FPNPixelDecoderConfig())
    return config, labels


@pytest.mark.parametrize("model", MASKFORMERS, ids=lambda model: model.name)
def test_maskformers_are_recognised_and_have_their_sizes(model):
    config, labels = maskformer_of(model)
    found, assumed = publication_of_size(config, Path("/x") / Path(model.file).name)
    assert assumed is None and (found.labels, found.task) == (labels, model.task)
    network = build_skeleton(config)
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert model.millions == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("model", published_models("dinat"), ids=lambda model: model.name)
def test_names_of_files_tell_dilations(model):
    kernel = 7 if model.data == "cityscapes" else 11
    first = told_dilations(Path(model.file), kernel, (3, 4, 18, 5))[0][1]
    assert first == (28 if model.size == 1280 else 18 if kernel == 7 else 20)


@pytest.mark.parametrize(
    "name", ["mask2former-swin-tiny-coco-panoptic", "oneformer-convnext-large-cityscapes-all"]
)
def test_sizes_are_those_of_the_presets(name):
    (model,) = [model for model in MODELS if model.name == name]
    config = preset(f"{model.family}-{model.backbone}", 133 if model.data == "coco" else 19)
    decoder = replace(config.transformer_decoder, num_queries=model.queries)
    network = build_skeleton(replace(config, transformer_decoder=decoder, text=None))
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert model.millions == pytest.approx(millions, abs=0.06)


def test_examples_in_messages_are_listed():
    hubs = {model.hub for model in MODELS}
    for names in PUBLISHED.values():
        assert {name for name in names if "/" in name} <= hubs
