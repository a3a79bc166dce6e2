"""Networks without a counterpart in other libraries round-trip through model folders."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import (
    TINY_DEEPLAB,
    TINY_DEFORMABLE_STANDARD,
    TINY_ENCODER,
    TINY_FAPN,
    TINY_FPN_MASKED,
    TINY_PER_PIXEL_PLUS,
    TINY_PROPOSALS,
    TINY_SWIN,
    tiny_checkpoint,
)
from contracts.test_backbones import TINY_LITE

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.config import TaskQueriesConfig, TextConfig
from unimask.errors import CheckpointError

ONEFORMER_FPN = replace(
    TINY_FPN_MASKED,
    transformer_decoder=replace(
        TINY_FPN_MASKED.transformer_decoder, task_queries=TaskQueriesConfig(num_layers=1)
    ),
    text=TextConfig(dim=64, num_layers=1, vocabulary=99, context=4),
)
LOCAL_ONEFORMER = replace(
    ONEFORMER_FPN,
    pixel_decoder=TINY_PROPOSALS.pixel_decoder,
    transformer_decoder=replace(ONEFORMER_FPN.transformer_decoder, local_positions=True),
)
PROJECTED_ONEFORMER = replace(
    ONEFORMER_FPN,
    pixel_decoder=replace(TINY_PROPOSALS.pixel_decoder, local_positions=False, dim=16),
)
CONFIGS = {
    "encoder": TINY_ENCODER,
    "fpn beside masked attention": TINY_FPN_MASKED,
    "deformable beside standard": TINY_DEFORMABLE_STANDARD,
    "fapn": TINY_FAPN,
    "per pixel, with queries": TINY_PER_PIXEL_PLUS,
    "deeplab's stem and dilations": TINY_DEEPLAB,
    "the same in another family": replace(TINY_SWIN, backbone=TINY_DEEPLAB.backbone),
    "efficientnet-lite": replace(TINY_SWIN, backbone=replace(TINY_LITE, norm="batch")),
    "oneformer on a pyramid": ONEFORMER_FPN,
    "oneformer with positions in pixels": LOCAL_ONEFORMER,
    "oneformer whose maps are projected": PROJECTED_ONEFORMER,
    "oneformer whose maps are projected without need": replace(
        PROJECTED_ONEFORMER,
        pixel_decoder=replace(PROJECTED_ONEFORMER.pixel_decoder, dim=32),
        transformer_decoder=replace(ONEFORMER_FPN.transformer_decoder, enforce_input_proj=True),
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_own_schema_round_trips(name, tmp_path):
    checkpoint = tiny_checkpoint(CONFIGS[name])
    write_huggingface(tmp_path, checkpoint)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "unimask"
    again = read_huggingface(tmp_path)
    assert again.description.config == checkpoint.description.config
    assert again.state.keys() == checkpoint.state.keys()
    for key, tensor in again.state.items():
        assert torch.equal(tensor, checkpoint.state[key])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"kind": "fpn"',
            '"kind": "bifpn"',
            "'bifpn' decoder; supported are deformable, fpn, fapn",
        ),
        ('"mask_dim"', '"masc_dim"', "masc_dim"),
    ],
)
def test_unknown_values_are_named(old, new, message, tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint(TINY_ENCODER))
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(CheckpointError, match=message):
        read_huggingface(tmp_path)


@pytest.mark.parametrize("colours", [["#12345"], ["#123456"], [[1, 2, 3], None], 7])
def test_invalid_colours_are_one_line_errors(tmp_path, colours):
    write_huggingface(tmp_path, tiny_checkpoint())
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["unimask"]["colours"] = colours
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"{tmp_path.name}.*colour"):
        read_huggingface(tmp_path)
