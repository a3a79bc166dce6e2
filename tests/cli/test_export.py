"""`unimask export` on the command line."""

import json
from dataclasses import replace

import torch
from conftest import TINY_ONEFORMER, TINY_SWIN, tiny_checkpoint

import unimask
from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.checkpoints.authors.oneformer_names import NAMES
from unimask.checkpoints.keymap import to_theirs
from unimask.config import DiNATConfig, TaskQueriesConfig
from unimask.modeling.build import build_segmenter
from unimask.presets import DINAT_DILATIONS


def test_an_exported_model_is_the_same(command, tmp_path):
    tiny_model = tmp_path / "model"
    write_huggingface(tiny_model, tiny_checkpoint(TINY_SWIN))
    code, printed, _ = command("export", tiny_model, "--out", tmp_path / "out")
    assert code == 0 and "2 classes" in printed
    one, other = read_huggingface(tiny_model), read_huggingface(tmp_path / "out")
    assert (
        one.description.config == other.description.config
        and one.description.labels == other.description.labels
    )
    assert all(torch.equal(other.state[name], value) for name, value in one.state.items())
    assert unimask.load(tmp_path / "out", device="cpu").tasks == one.description.tasks


def test_networks_unsupported_by_transformers_are_not_exported(
    command, check_error, tiny_model, tmp_path
):
    code, _, err = command("export", tiny_model, "--out", tmp_path / "out")
    check_error(code, err, "cannot be written for transformers", "backbone.norm is 'group'")
    assert not (tmp_path / "out" / "config.json").exists()
    code, _, err = command("export", "nuclei", "--out", tmp_path / "out", "--format", "huggingface")
    check_error(code, err, "nuclei cannot be written for transformers")


def test_a_model_is_not_overwritten_and_formats_are_named(
    command, check_error, tiny_model, tmp_path
):
    code, _, err = command("export", tiny_model, "--out", tiny_model)
    check_error(code, err, "already holds a model")
    code, _, err = command("export", tiny_model, "--out", tmp_path / "o", "--format", "onyx")
    check_error(code, err, "--format onyx", "huggingface")


def test_an_authors_oneformer_on_dinat_keeps_the_dilations_of_its_name(command, tmp_path):
    queries = TINY_ONEFORMER.transformer_decoder
    config = replace(
        TINY_ONEFORMER,
        backbone=DiNATConfig(
            embed_dim=8, num_heads=(1, 1, 2, 2), kernel_size=11,
            dilations=DINAT_DILATIONS, mlp_ratio=2.0, drop_path=0.3,
        ),
        pixel_decoder=replace(TINY_ONEFORMER.pixel_decoder, dropout=0.1),
        transformer_decoder=replace(queries, task_queries=TaskQueriesConfig(num_layers=1)),
        num_classes=133,
        text=None,
    )  # fmt: skip
    state = build_segmenter(config).state_dict()
    path = tmp_path / "150_16_dinat_l_oneformer_coco_100ep.pth"
    torch.save({"model": to_theirs(state, NAMES)}, path)
    code, printed, _ = command("export", path, "--out", tmp_path / "out", "--format", "huggingface")
    assert code == 0 and "133 classes" in printed
    exported_config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert exported_config["model_type"] == "oneformer"
    assert exported_config["backbone_config"]["dilations"] == [
        list(level) for level in DINAT_DILATIONS
    ]
    again = read_huggingface(tmp_path / "out")
    assert again.description.config == config and again.description.labels.names[0] == "person"
    assert again.state.keys() == state.keys()
    assert all(torch.equal(again.state[name], tensor) for name, tensor in state.items())
