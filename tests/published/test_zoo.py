"""The list of published models is consistent with files, configurations and papers."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from unimask.checkpoints.authors.dinat_dilations import dilations_from_name
from unimask.checkpoints.authors.recognition import find_publication_by_size
from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import PerPixelConfig, PerPixelPlusConfig
from unimask.inference.names import EXAMPLES
from unimask.published.model_configs import MODEL_CONFIGS
from unimask.published.publication_tables import PUBLICATIONS
from unimask.published.zoo import published_models

MODELS = published_models()
MASK2FORMERS = published_models("mask2former-")
ONEFORMERS = published_models("oneformer-")
MASKFORMERS, BASELINES = published_models("maskformer-"), published_models("per-pixel-")
EOMTS, DETRS = published_models("eomt-"), published_models("detr-")


def test_every_published_model_is_listed_once():
    assert len(MASK2FORMERS) == 47 + 12 and len(ONEFORMERS) == 21
    assert len(MASKFORMERS) == 24 and len(BASELINES) == 6
    assert len(EOMTS) == 14 + 7 and len(DETRS) == 3
    assert len(MODELS) == 47 + 12 + 21 + 24 + 6 + 21 + 3
    assert len({model.name for model in MODELS}) == len(MODELS)
    assert all(model.hub or model.file for model in MODELS)
    assert {model.name for model in MODELS} <= MODEL_CONFIGS.keys()
    named = [model for model in MODELS if model not in ONEFORMERS + EOMTS]
    stems = {Path(model.file).stem for model in named if model.file}
    hashes = {re.split("[_-]", stem)[-1] for stem in stems}
    assert hashes == {name for publication in PUBLICATIONS for name in publication.files}


@pytest.mark.parametrize(
    "model", MASK2FORMERS + MASKFORMERS + BASELINES + DETRS, ids=lambda model: model.name
)
def test_files_are_recognised_as_what_they_are_listed_as(model):
    configuration = MODEL_CONFIGS[model.name]
    path = Path("/x") / Path(model.file).name
    actual, assumed = find_publication_by_size(configuration.network(), path)
    assert assumed is None and actual is configuration.publication


@pytest.mark.parametrize("model", EOMTS, ids=lambda model: model.name)
def test_folders_of_files_are_recognised_as_what_they_are_listed_as(model):
    configuration = MODEL_CONFIGS[model.name]
    folder = model.file.removeprefix("https://huggingface.co/tue-mps/").split("/")[0]
    path = Path("/x") / folder / Path(model.file).name
    actual, assumed = find_publication_by_size(configuration.network(), path)
    assert assumed is None and actual is configuration.publication


@pytest.mark.parametrize("model", published_models("dinat"), ids=lambda model: model.name)
def test_file_names_determine_dilations(model):
    kernel = 7 if model.data == "cityscapes" else 11
    first = dilations_from_name(Path(model.file), kernel, (3, 4, 18, 5))[0][1]
    assert first == (28 if model.size == 1280 else 18 if kernel == 7 else 20)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_sizes_are_those_of_the_configurations(model):
    config = MODEL_CONFIGS[model.name].network()
    millions = parameters(replace(config, text=None)) / 1e6
    assert model.millions == pytest.approx(millions, abs=0.05001)
    match config.transformer_decoder:
        case PerPixelConfig():
            assert model.queries == 0
        case PerPixelPlusConfig():
            assert model.queries == config.num_classes
        case decoder:
            assert model.queries == decoder.num_queries


PAPERS = {
    "mask2former-resnet50-coco-panoptic": 44,
    "mask2former-resnet101-coco-panoptic": 63,
    "mask2former-swin-tiny-coco-panoptic": 47,
    "mask2former-swin-small-coco-panoptic": 69,
    "mask2former-swin-base-coco-panoptic": 107,
    "mask2former-swin-large-coco-panoptic": 216,
    "maskformer-resnet50-coco-panoptic": 45,
    "maskformer-resnet101-coco-panoptic": 64,
    "maskformer-resnet50-ade20k-semantic": 41,
    "maskformer-resnet101-ade20k-semantic": 60,
    "maskformer-resnet101c-ade20k-semantic": 60,
    "maskformer-swin-tiny-ade20k-semantic": 42,
    "maskformer-swin-small-ade20k-semantic": 63,
    "maskformer-swin-base-ade20k-semantic": 102,
    "maskformer-swin-large-ade20k-semantic": 212,
    "oneformer-swin-large-ade20k": 219,
    "oneformer-convnext-large-cityscapes": 220,
    "oneformer-dinat-large-coco": 223,
    "oneformer-convnext-xlarge-ade20k": 372,
}
"""Millions of parameters in the papers' tables (OneFormer's: its README)."""


@pytest.mark.parametrize("name", PAPERS)
def test_sizes_are_those_of_the_papers(name):
    config = replace(MODEL_CONFIGS[name].network(), text=None)
    assert round(parameters(config) / 1e6) == PAPERS[name]


def parameters(config):
    return sum(parameter.numel() for parameter in build_skeleton(config).parameters())


def test_examples_in_messages_are_listed():
    assert set(EXAMPLES) <= {model.hub for model in MODELS}
