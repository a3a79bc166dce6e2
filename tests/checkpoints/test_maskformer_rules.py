"""Pre- and post-processing of MaskFormer's folders on the Hub."""

import json
from dataclasses import replace

import pytest
from conftest import TINY_MASKFORMER, tiny_checkpoint

from unimask.checkpoints import Checkpoint, read_huggingface, write_huggingface
from unimask.config import PreprocessingConfig
from unimask.label_sets import known_labels
from unimask.modeling.build import build_segmenter

PUBLISHED = replace(
    TINY_MASKFORMER, backbone=replace(TINY_MASKFORMER.backbone, norm="frozen_batch")
)

MEAN = {"image_mean": [0.5, 0.25, 0.125], "image_std": [0.25, 0.5, 1.0]}
COLOURS = {"mean": (127.5, 63.75, 31.875), "std": (63.75, 127.5, 255.0)}

FORMS = {
    "coco": (
        {"size": {"shortest_edge": 800, "longest_edge": 1333}, "size_divisor": 0, **MEAN},
        PreprocessingConfig(shortest_edge=800, longest_edge=1333, size_divisor=1, **COLOURS),
    ),
    "ade, before 2023": (
        {"size": 512, "max_size": 2048, "size_divisibility": 32, **MEAN},
        PreprocessingConfig(shortest_edge=512, longest_edge=2048, size_divisor=32, **COLOURS),
    ),
    "none": (None, PreprocessingConfig()),
}


@pytest.mark.parametrize("form", FORMS)
def test_folders_without_the_unimask_key_use_the_authors_rules(form, tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint(PUBLISHED))
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["unimask"]
    path.write_text(json.dumps(config))
    values, expected = FORMS[form]
    preprocessor = tmp_path / "preprocessor_config.json"
    preprocessor.unlink() if values is None else preprocessor.write_text(json.dumps(values))
    checkpoint = read_huggingface(tmp_path)
    assert checkpoint.description.preprocessing == expected
    assert checkpoint.description.postprocessing.uncertain_pixels == "winner"


def test_stored_settings_override_the_family_defaults(tmp_path):
    checkpoint = tiny_checkpoint(PUBLISHED, uncertain_pixels="void", overlap_threshold=0.3)
    write_huggingface(tmp_path, checkpoint)
    again = read_huggingface(tmp_path)
    assert again.description.postprocessing == checkpoint.description.postprocessing
    assert again.description.preprocessing == checkpoint.description.preprocessing


HUB = {
    "facebook/maskformer-swin-base-ade": ("ade20k", ("semantic",), "scores", 32),
    "facebook/maskformer-swin-tiny-coco": (
        "coco_panoptic", ("panoptic", "instance", "semantic"), "masks", 1,
    ),
    "facebook/maskformer-resnet50-ade20k-full": ("ade20k_full", ("semantic",), "scores", 32),
    "facebook/maskformer-resnet101-coco-stuff": ("coco_stuff", ("semantic",), "scores", 32),
}  # fmt: skip


@pytest.mark.parametrize("hub", HUB)
def test_hub_folders_use_published_tasks(hub, tmp_path):
    """They contain neither tasks nor things and stuff, which follow from the labels."""
    labels, tasks, resize, divisor = HUB[hub]
    folder = tmp_path / f"models--{hub.replace('/', '--')}" / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    known = known_labels(labels)
    config = replace(PUBLISHED, num_classes=len(known))
    checkpoint = tiny_checkpoint(PUBLISHED)
    state = build_segmenter(config).state_dict()
    description = replace(checkpoint.description, config=config, labels=known)
    write_huggingface(folder, Checkpoint(description, state))
    config_json = json.loads((folder / "config.json").read_text())
    del config_json["unimask"]
    (folder / "config.json").write_text(json.dumps(config_json))
    (folder / "preprocessor_config.json").unlink()
    found = read_huggingface(folder)
    assert found.description.tasks == tasks and found.description.labels.is_thing == known.is_thing
    assert found.description.postprocessing.resize == resize
    assert found.description.preprocessing.size_divisor == divisor
