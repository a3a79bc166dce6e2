"""`unimask export` on the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY_ONEFORMER, TINY_SWIN, tiny_checkpoint
from PIL import Image

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


@pytest.mark.extra
def test_a_file_of_onnx_needs_its_suffix_and_its_options(command, check_error, tmp_path):
    pytest.importorskip("onnxscript")
    code, _, err = command("export", "nuclei", "--format", "onnx", "--out", tmp_path / "model")
    check_error(code, err, "suffix .onnx")
    (tmp_path / "mine.onnx").write_text("mine")
    out = ("--format", "onnx", "--out", tmp_path / "mine.onnx")
    code, _, err = command("export", "nuclei", *out)
    check_error(code, err, "mine.onnx was not written by unimask and is not replaced")
    for option, value, message in [
        ("--size", "800", "pass HEIGHTxWIDTH"),
        ("--opset", "20", "opset 20"),
        ("--task", "detection", "detection"),
        ("--input-dtype", "int8", "int8"),
    ]:
        code, _, err = command("export", "nuclei", *out, "--overwrite", option, value)
        check_error(code, err, message)
    assert (tmp_path / "mine.onnx").read_text() == "mine"


@pytest.mark.parametrize(
    "option",
    [("--size", "64x64"), ("--batch", 2), ("--task", "instance"), ("--input-dtype", "uint8"),
     ("--opset", 17), ("--images", "folder"), ("--overwrite",)],
)  # fmt: skip
def test_options_of_onnx_are_refused_for_folders(command, check_error, tmp_path, option):
    code, _, err = command("export", "nuclei", "--out", tmp_path / "o", *option)
    check_error(code, err, f"{option[0]} belongs to --format onnx")


@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")  # of PyTorch's exporter
def test_a_model_is_exported_to_onnx(command, tiny_model, tmp_path):
    pytest.importorskip("onnxscript")
    out = tmp_path / "model.onnx"
    code, printed, err = command(
        "export", tiny_model, "--format", "onnx", "--out", out, "--size", "64x90", "--batch", 2
    )
    assert code == 0, err
    assert "2 images of 64x96 (float32), panoptic, instance, semantic" in printed
    assert "logits differ by at most" in printed and "equal pixels: 100.000 % panoptic" in printed
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
    image = tmp_path / "image.png"
    Image.fromarray(np.full((50, 60, 3), 90, np.uint8)).save(image)
    code, printed, err = command("predict", image, "--model", out, "--out", tmp_path / "results")
    assert code == 0, err


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
