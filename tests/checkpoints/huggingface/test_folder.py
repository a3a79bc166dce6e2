"""Folders in the Hugging Face schema: sharded weights, permissions and validation."""

import json
import os
from dataclasses import replace

import pytest
import torch
from conftest import TINY_RESNET, TINY_SWIN, tiny_checkpoint, with_description
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file, save_file

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.checkpoints.huggingface.folder import select_rules
from unimask.checkpoints.keymap import to_theirs
from unimask.errors import CheckpointError
from unimask.labels import LabelSet


@pytest.fixture
def sharded_folder(tmp_path):
    """Folder whose weights huggingface_hub has split into several files."""
    write_huggingface(tmp_path, tiny_checkpoint())
    state = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    save_torch_state_dict(state, tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    return tmp_path


def equals_original(folder):
    expected = tiny_checkpoint().state
    return all(torch.equal(read_huggingface(folder).state[k], v) for k, v in expected.items())


def test_sharded_weights_are_merged(sharded_folder):
    assert equals_original(sharded_folder)


def test_sharded_pytorch_bin_files_are_merged(tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint())
    state = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    save_torch_state_dict(state, tmp_path, max_shard_size="50KB", safe_serialization=False)
    assert len(list(tmp_path.glob("pytorch_model-*.bin"))) > 2 and equals_original(tmp_path)


def test_missing_shards_are_named(sharded_folder):
    missing = sorted(sharded_folder.glob("model-*.safetensors"))[1]
    missing.unlink()
    with pytest.raises(CheckpointError, match=f"{missing.name} does not exist .1 of"):
        read_huggingface(sharded_folder)


INVALID_MAPS = ({}, [], {"a": 3}, {"a": ["b"]}, {"a": "../../b.safetensors"}, {"a": "/etc/passwd"})


@pytest.mark.parametrize("weight_map", INVALID_MAPS)
def test_an_index_may_list_only_files_beside_it(sharded_folder, weight_map):
    (sharded_folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": weight_map})
    )
    with pytest.raises(CheckpointError, match="lists no files beside it"):
        read_huggingface(sharded_folder)


def test_weights_and_config_have_the_same_permissions(tmp_path):
    before = os.umask(0o022)
    try:
        write_huggingface(tmp_path, tiny_checkpoint())
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {0o644}


def test_folders_of_earlier_releases_that_call_group_norm_a_mask2former_load_here(tmp_path):
    frozen = replace(TINY_RESNET, backbone=replace(TINY_RESNET.backbone, norm="frozen_batch"))
    write_huggingface(tmp_path, tiny_checkpoint(frozen))
    expected = tiny_checkpoint().state
    save_file(
        to_theirs(expected, select_rules("mask2former", frozen)), tmp_path / "model.safetensors"
    )
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "mask2former"
    config["unimask"] |= {"norm": "group", "num_points": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = read_huggingface(tmp_path)
    assert found.description.config == TINY_RESNET
    assert all(torch.equal(found.state[name], tensor) for name, tensor in expected.items())


def test_folders_store_category_ids(tmp_path):
    labels = LabelSet(("nucleus", "background"), (True, False), category_ids=(17, 3))
    write_huggingface(tmp_path, with_description(tiny_checkpoint(), labels=labels))
    assert read_huggingface(tmp_path).description.labels.category_ids == (17, 3)
    write_huggingface(tmp_path, tiny_checkpoint())
    assert read_huggingface(tmp_path).description.labels.category_ids == ()


INVALID_LISTS = (
    3,
    {},
    "",
    "panoptic",
    [[], []],
    [7, "a"],
    [1],
    [2**64, 1],
    [None, 7],
    [[1, 2], True],
)


@pytest.mark.parametrize("key", ["category_ids", "is_thing", "colours", "tasks"])
def test_invalid_lists_in_own_keys_are_one_line_errors(tmp_path, key):
    write_huggingface(tmp_path, tiny_checkpoint())
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for value in INVALID_LISTS:
        config["unimask"][key] = value
        path.write_text(json.dumps(config))
        with pytest.raises(CheckpointError, match=tmp_path.name) as caught:
            read_huggingface(tmp_path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": []}, "tasks"),
        ({"tasks": ["semantic", "semantic"]}, "tasks"),
        ({"tasks": ["depth"]}, "unknown task 'depth'"),
        ({"postprocessing": {"object_threshold": 5}}, "object_threshold"),
        ({"postprocessing": {"overlap_threshold": -1}}, "overlap_threshold"),
        ({"postprocessing": {"top_k": 0}}, "top_k"),
        ({"postprocessing": []}, "a wrong type"),
        ({"preprocessing": {"size_divisor": -3}}, "size_divisor"),
        ({"preprocessing": 3}, "a wrong type"),
        ({"norm": "layer"}, "norm"),
        ({"last_dilations": [0]}, "last_dilations"),
        ({"num_points": 10**9}, "num_points"),
        ({"proposals": "many"}, "proposals"),
    ],
    ids=str,
)
def test_own_keys_are_validated_before_the_network_is_built(tmp_path, changes, message):
    write_huggingface(
        tmp_path, tiny_checkpoint(TINY_SWIN if "num_points" in changes else TINY_RESNET)
    )
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["unimask"] |= changes
    path.write_text(json.dumps(config))
    if "proposals" in changes:
        config["unimask"]["decoders"]["transformer_decoder"] |= changes
        path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message) as caught:
        read_huggingface(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
