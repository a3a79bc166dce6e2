"""Folders in the Hugging Face schema: weights in several files, and who may read them."""

import json
import os
from dataclasses import replace

import pytest
import torch
from conftest import TINY_RESNET, tiny_checkpoint
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file, save_file

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.checkpoints.huggingface import names_in
from unimask.checkpoints.keymap import to_theirs
from unimask.errors import CheckpointError


@pytest.fixture
def parts(tmp_path):
    """A folder whose weights huggingface_hub has spread over several files."""
    write_huggingface(tmp_path, tiny_checkpoint())
    state = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    save_torch_state_dict(state, tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    return tmp_path


def same(folder):
    expected = tiny_checkpoint().state
    return all(torch.equal(read_huggingface(folder).state[k], v) for k, v in expected.items())


def test_weights_in_several_files_are_put_together(parts):
    assert same(parts)


def test_older_weights_in_several_files_too(tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint())
    state = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    save_torch_state_dict(state, tmp_path, max_shard_size="50KB", safe_serialization=False)
    assert len(list(tmp_path.glob("pytorch_model-*.bin"))) > 2 and same(tmp_path)


def test_a_part_that_is_missing_is_named(parts):
    gone = sorted(parts.glob("model-*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(CheckpointError, match=f"{gone.name} does not exist .1 of"):
        read_huggingface(parts)


ELSEWHERE = ({}, [], {"a": 3}, {"a": ["b"]}, {"a": "../../b.safetensors"}, {"a": "/etc/passwd"})


@pytest.mark.parametrize("where", ELSEWHERE)
def test_an_index_names_files_beside_it_alone(parts, where):
    (parts / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    with pytest.raises(CheckpointError, match="lists no files beside it"):
        read_huggingface(parts)


def test_weights_can_be_read_by_whoever_can_read_their_description(tmp_path):
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
    save_file(to_theirs(expected, names_in("mask2former")), tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "mask2former"
    config["unimask"] |= {"norm": "group", "num_points": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = read_huggingface(tmp_path)
    assert found.config == TINY_RESNET
    assert all(torch.equal(found.state[name], tensor) for name, tensor in expected.items())
