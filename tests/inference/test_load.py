"""Loading models: sources, refusals and warnings."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import (
    TINY_ONEFORMER,
    TINY_PROPOSALS,
    TINY_RESNET,
    TINY_SWIN,
    draw_discs,
    tiny_checkpoint,
)
from huggingface_hub import errors
from safetensors.torch import load_file

import unimask
from unimask.bundled import bundled_names
from unimask.checkpoints import Checkpoint, read_huggingface, write_huggingface
from unimask.config import SwinConfig
from unimask.errors import CheckpointError, SettingsError
from unimask.inference.hub import CONFIG_FILES, SAFETENSORS_FILES
from unimask.inference.load import LoadWarning
from unimask.label_sets import known_labels
from unimask.modeling.build import build_segmenter


def test_a_network_can_be_built_untrained():
    predictor = unimask.build("mask2former-nano", labels=("cell", "ground"), is_thing=(True, False))
    assert predictor.labels == ("cell", "ground") and predictor.is_thing == (True, False)
    with pytest.raises(SettingsError, match="unknown preset"):
        unimask.build("mask2former-pico", labels=("cell",))


def test_loading_does_not_start_the_compiler(tmp_path):
    """Importing it takes a second, and prediction does not need it."""
    write_huggingface(tmp_path, tiny_checkpoint())
    code = (
        "import sys, unimask, numpy as np; "
        f"unimask.load({str(tmp_path)!r}, device='cpu').predict(np.zeros((40, 50, 3), np.uint8)); "
        "print('torch._dynamo' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "False", printed.stderr


def test_weights_are_in_memory_once(tmp_path, monkeypatch):
    write_huggingface(tmp_path, tiny_checkpoint())
    checkpoint = read_huggingface(tmp_path)
    module = importlib.import_module("unimask.inference.load")
    monkeypatch.setattr(module, "read_source", lambda *_: checkpoint)
    state = unimask.load(tmp_path, device="cpu").network.state_dict()
    assert all(
        state[name].data_ptr() == value.data_ptr() for name, value in checkpoint.state.items()
    )


@pytest.mark.parametrize("damage", ["config", "weights", "json", "garbage", "shape"])
def test_damaged_folders_are_named(tmp_path, damage):
    write_huggingface(tmp_path, tiny_checkpoint())
    config = tmp_path / "config.json"
    if damage == "config":
        config.unlink()
    if damage == "weights":
        os.remove(tmp_path / "model.safetensors")
    if damage == "json":
        config.write_text("{")
    if damage == "garbage":
        (tmp_path / "model.safetensors").write_bytes(b"garbage" * 10)
    if damage == "shape":
        config.write_text(config.read_text().replace('"num_queries": 12', '"num_queries": 13'))
    with pytest.raises(CheckpointError, match=tmp_path.name):
        unimask.load(tmp_path)


@pytest.mark.parametrize(
    "checkpoint",
    [tiny_checkpoint(c) for c in (TINY_RESNET, TINY_SWIN, TINY_PROPOSALS, TINY_ONEFORMER)],
)
def test_save_and_load_round_trip(tmp_path, checkpoint):
    write_huggingface(tmp_path, checkpoint)
    plain = build_segmenter(checkpoint.description.config)
    plain.load_state_dict(checkpoint.state)
    pixel_values = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = plain.eval()(pixel_values)
        output = unimask.load(tmp_path, device="cpu").network(pixel_values)
    torch.testing.assert_close(output.mask_logits, expected.mask_logits)
    torch.testing.assert_close(output.class_logits, expected.class_logits)


def test_runs_load_their_best_weights(tmp_path):
    write_huggingface(tmp_path / "weights" / "last", tiny_checkpoint(seed=1))
    assert unimask.load(tmp_path).tasks
    write_huggingface(tmp_path / "weights" / "best", tiny_checkpoint(seed=2))
    state = unimask.load(tmp_path, device="cpu").network.state_dict()
    for name, tensor in tiny_checkpoint(seed=2).state.items():
        torch.testing.assert_close(state[name], tensor)


def test_the_home_folder_is_understood(tmp_path, monkeypatch):
    write_huggingface(tmp_path / "model", tiny_checkpoint())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert unimask.load("~/model").labels == ("nucleus", "background")


def test_defaults_for_a_missing_description_are_reported(tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint())
    (tmp_path / "preprocessor_config.json").unlink()
    content = json.loads((tmp_path / "config.json").read_text())
    del content["unimask"]["preprocessing"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.warns(LoadWarning, match="no preprocessor_config.json"):
        predictor = unimask.load(tmp_path)
    assert predictor.description.preprocessing.shortest_edge == 800


def rename_classes(folder: Path, names: Sequence[str]) -> None:
    """Turn a folder into one like those on the Hub: other names, and no unimask key."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    del content["unimask"]
    content["id2label"] = {str(index): name for index, name in enumerate(names)}
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("labels", "folder", "tasks", "size", "resize"),
    [
        ("ade20k", "swin-tiny-ade-semantic", ("semantic",), (512, 2048), "scores"),
        ("ade20k", "swin-tiny-ade", ("panoptic", "instance", "semantic"), (640, 2560), "masks"),
        ("cityscapes_instance", "mine", ("instance",), (1024, 2048), "masks"),
    ],
)
def test_folders_of_published_labels_follow_the_published_rules(
    tmp_path, labels, folder, tasks, size, resize
):
    known = known_labels(labels)
    config = replace(TINY_SWIN, num_classes=len(known), backbone=SwinConfig(depths=(1, 1, 1, 1)))
    state = build_segmenter(config).state_dict()
    description = replace(tiny_checkpoint().description, config=config, labels=known)
    write_huggingface(tmp_path / folder, Checkpoint(description, state))
    rename_classes(tmp_path / folder, known.names)
    content = (tmp_path / folder / "preprocessor_config.json").read_text()
    square = json.loads(content) | {"size": {"height": 384, "width": 384}}
    (tmp_path / folder / "preprocessor_config.json").write_text(json.dumps(square))
    found = unimask.load(tmp_path / folder, device="cpu").description
    assert found.labels == known and found.tasks == tasks
    assert found.labels.colours == known.colours
    found_size = found.preprocessing.shortest_edge, found.preprocessing.longest_edge
    assert found_size == size and found.postprocessing.resize == resize


def write_squashed_model(folder: Path, **changes) -> Path:
    """Write a model like the Hub's Mask2Formers: one image size, and no unimask key."""
    backbone = SwinConfig(embed_dim=24, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    write_huggingface(folder, tiny_checkpoint(replace(TINY_SWIN, backbone=backbone)))
    rename_classes(folder, ("nucleus", "background"))
    path = folder / "preprocessor_config.json"
    content = json.loads(path.read_text()) | {"size": {"height": 96, "width": 64}} | changes
    path.write_text(json.dumps(content))
    return folder


def test_the_folders_own_preprocessing_is_followed_on_request(tmp_path):
    folder = write_squashed_model(tmp_path / "hub")
    default = unimask.load(folder, device="cpu").description.preprocessing
    assert default.squash is None and (default.shortest_edge, default.longest_edge) == (800, 1333)
    predictor = unimask.load(folder, device="cpu", preprocessing="hub")
    assert predictor.description.preprocessing == replace(default, squash=(96, 64))
    image = draw_discs(0, (60, 130))[0]
    inputs = predictor.prepare(image, None, 10**6).preprocessed
    assert inputs.padded_size == inputs.input_size == (96, 64) and inputs.original_size == (60, 130)
    assert predictor.predict(image, "semantic").segmentation.shape == (60, 130)
    predictor.save(tmp_path / "again")
    assert unimask.load(tmp_path / "again").description.preprocessing.squash == (96, 64)
    size = json.loads((tmp_path / "again" / "preprocessor_config.json").read_text())["size"]
    assert size == {"height": 96, "width": 64}


def test_edge_lengths_of_a_folder_apply_in_both_preprocessing_modes(tmp_path):
    edges = {"shortest_edge": 96, "longest_edge": 160}
    folder = write_squashed_model(tmp_path, size=edges)
    for mode in ("authors", "hub"):
        found = unimask.load(folder, device="cpu", preprocessing=mode).description.preprocessing
        assert (found.squash, found.shortest_edge, found.longest_edge) == (None, 96, 160)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"do_resize": False}, "requests no resizing, which is not supported"),
        ({"do_resize": False, "resample": 0}, "no resizing and a resampling other than bilinear"),
        ({"size": {"height": 10**9, "width": 64}}, "squash of the preprocessing is"),
        ({"size": {"height": 20000, "width": 64}}, "edges that are too large"),
        ({"size": {"height": "96", "width": 64}}, "a value of a wrong type"),
        (None, "preprocessor_config.json does not exist"),
    ],
)
def test_preprocessing_that_cannot_be_followed_is_refused(tmp_path, changes, reason):
    write_squashed_model(tmp_path, **(changes or {}))
    if changes is None:
        (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=f"{tmp_path.name}: .*{reason}"):
        unimask.load(tmp_path, preprocessing="hub")


def test_other_ways_of_preprocessing_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="unknown preprocessing 'theirs': choose authors or"):
        unimask.load("nuclei", preprocessing="theirs")
    (tmp_path / "model_final.pkl").touch()
    with pytest.raises(SettingsError, match=r"model_final\.pkl has no preprocessor_config"):
        unimask.load(tmp_path / "model_final.pkl", preprocessing="hub")


def test_unrecognised_folders_list_the_tried_formats(tmp_path):
    with pytest.raises(CheckpointError, match="neither a bundled name"):
        unimask.load("mask3former")
    (tmp_path / "weights.bin").touch()
    with pytest.raises(CheckpointError, match=r"weights\.bin is empty"):
        unimask.load(tmp_path / "weights.bin")
    with pytest.raises(CheckpointError, match=r"runs/model_final\.pkl does not exist"):
        unimask.load("runs/model_final.pkl")
    with pytest.raises(CheckpointError, match="holds no model"):
        unimask.load(tmp_path)


RESPONSE = SimpleNamespace(headers={}, request=None)
HUB_ERRORS = {
    "offline": (errors.LocalEntryNotFoundError("offline"), "the Hub cannot be reached"),
    "unknown": (errors.RepositoryNotFoundError("no\nsuch", response=RESPONSE), "no such model"),
    "gated": (errors.GatedRepoError("no\nconsent", response=RESPONSE), "consent"),
    "broken": (errors.HfHubHTTPError("busy\nlater", response=RESPONSE), "busy"),
    "silent": (OSError(), "cannot be fetched: OSError"),
    "no room": (OSError(28, "No space left on device"), "No space left"),
}


@pytest.mark.parametrize("case", HUB_ERRORS)
def test_hub_errors_are_one_line(monkeypatch, case):
    error, reason = HUB_ERRORS[case]

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(CheckpointError, match=reason) as failed:
        unimask.load("runs/nucley")
    assert "runs/nucley is no folder here" in str(failed.value)
    assert "\n" not in str(failed.value)


def test_an_unreachable_hub_is_a_one_line_error(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="nobody/nothing"):
        unimask.load("nobody/nothing")


def test_a_model_from_the_hub_is_read(monkeypatch, tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint())
    requests = []

    def fetch(name, *, allow_patterns, **_):
        requests.append((name, sorted(allow_patterns)))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert unimask.load("somebody/something").name == "somebody/something"
    files = sorted([*CONFIG_FILES, *SAFETENSORS_FILES])
    assert requests == [("somebody/something", files)]


def test_older_hub_models_have_another_weight_file(monkeypatch, tmp_path):
    checkpoint = tiny_checkpoint()
    write_huggingface(tmp_path, checkpoint)
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()

    def fetch(name, *, allow_patterns, **_):
        if "pytorch_model.bin" in allow_patterns:
            torch.save(tensors, tmp_path / "pytorch_model.bin")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    state = unimask.load("somebody/older", device="cpu").network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in checkpoint.state.items())


@pytest.mark.parametrize(
    ("device", "dtype"), [("abacus", "auto"), ("meta", "auto"), ("cpu", "int4")]
)
def test_unknown_devices_and_types_are_refused(tmp_path, device, dtype):
    write_huggingface(tmp_path, tiny_checkpoint())
    with pytest.raises(SettingsError, match=device if dtype == "auto" else dtype):
        unimask.load(tmp_path, device=device, dtype=dtype)


@pytest.mark.parametrize("name", bundled_names())
def test_bundled_models_work_in_another_folder(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()  # a folder of that name does not hide the model
    predictor = unimask.load(name, device="cpu")
    for task in predictor.tasks:
        assert predictor.predict(draw_discs(0)[0], task).size == (96, 128)
    blank = predictor.predict(np.zeros((40, 50, 3), np.uint8), "instance")
    assert blank.segmentation.shape == (40, 50)


def test_predicting_imports_no_extra_and_nothing_of_training(tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint())
    code = (
        "import sys, numpy, unimask\n"
        f"unimask.load({str(tmp_path)!r}).predict(numpy.zeros((40, 50, 3), numpy.uint8))\n"
        "heavy = {'transformers', 'lightning_fabric', 'matplotlib', 'pycocotools', 'skimage',\n"
        "    'torchvision', 'unimask.training', 'unimask.evaluation', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "[]", printed.stderr


def test_bundled_weights_come_with_the_package():
    for name in bundled_names():
        folder = Path(unimask.__file__).parent / "weights" / name
        assert (folder / "model.safetensors").stat().st_size < 32 * 2**20
