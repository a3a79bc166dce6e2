"""Runs from end to end: training, interruption, resuming and errors."""

import csv
import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY_ONEFORMER, TINY_RESNET
from training.plan.test_network import start

import unimask
from unimask.checkpoints import read_huggingface
from unimask.checkpoints.authors.mask2former_names import NAMES
from unimask.checkpoints.keymap import to_theirs
from unimask.config import CriterionConfig
from unimask.datasets import open_dataset
from unimask.datasets.transforms import Augmentation
from unimask.errors import SettingsError, TrainingError
from unimask.modeling.build import build_backbone, build_segmenter
from unimask.training import TrainingSettings, loop, steps, train
from unimask.training.plan.network import CLASS_HEADS
from unimask.training.run_folder import RunFolder

pytest.importorskip("lightning_fabric")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

SETTINGS = TrainingSettings(
    steps=8,
    batch_size=2,
    learning_rate=1e-3,
    clip_norm=1.0,
    warmup_steps=2,
    workers=0,
    save_every=3,
    ema_decay=0.9,
    augmentation=Augmentation(crop=64, rotate=True, noise=3.0),
    criterion=CriterionConfig(num_points=128),
)


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch):
    monkeypatch.setitem(
        unimask.presets.PRESETS,
        "tiny",
        lambda num_classes: replace(TINY_RESNET, num_classes=num_classes),
    )


def run(data, out, **changes):
    if changes.pop("resume", False):
        return train(out=out, resume=True, quiet=True, **changes)
    settings = replace(SETTINGS, **changes)
    return train(data, "tiny", out=out, settings=settings, device="cpu", quiet=True)


def rows_of(folder):
    with (folder / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


def weights(folder):
    return torch.load(folder / "state.pt", weights_only=True)


def test_a_run_trains_and_writes_its_files(discs, tmp_path, drawings):
    result = run(discs, tmp_path / "run", steps=40, evaluate_every=20)
    assert result.finished
    with (tmp_path / "run" / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    assert [row["metric"] for row in rows if row["score"]] == ["PQ", "PQ"]
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]["steps"] == 40
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 4
    for name in ("best", "last"):
        predictor = unimask.load(tmp_path / "run" / "weights" / name)
        assert predictor.labels == ("object", "background")
    assert result.predictor.predict(np.zeros((40, 50, 3), np.uint8)).size == (40, 50)


def test_the_first_step_has_a_line_of_its_own(discs, tmp_path):
    run(discs, tmp_path / "run", steps=21)
    rows = RunFolder(tmp_path / "run").rows()
    assert [int(row["step"]) for row in rows] == [1, 20, 21]  # an epoch is shorter than 20
    run(discs, tmp_path / "one", steps=1)
    (alone,) = RunFolder(tmp_path / "one").rows()
    assert [rows[0][name] for name in ("loss", "class", "mask")] == [
        alone[name] for name in ("loss", "class", "mask")
    ]


def test_a_resumed_run_ends_with_the_same_weights(discs, tmp_path, monkeypatch):
    run(discs, tmp_path / "whole")
    real = steps.update

    def interrupt(fabric, state, stream, step, settings):
        losses = real(fabric, state, stream, step, settings)
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    monkeypatch.setattr("unimask.training.loop.update", interrupt)
    broken = run(discs, tmp_path / "broken")
    assert not broken.finished and weights(tmp_path / "broken")["progress"]["step"] == 5
    monkeypatch.setattr("unimask.training.loop.update", real)
    assert run(discs, tmp_path / "broken", resume=True).finished
    whole, again = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    for part in ("network",):
        for name, tensor in whole[part].items():
            assert torch.equal(tensor, again[part][name]), name
    for name, tensor in whole["average"]["state"].items():
        assert torch.equal(tensor, again["average"]["state"][name]), name
    assert whole["progress"]["best"] == again["progress"]["best"]


@pytest.mark.parametrize("when", [1, 2])
def test_runs_stopped_during_validation_validate_when_resumed(discs, tmp_path, monkeypatch, when):
    run(discs, tmp_path / "whole", evaluate_every=4)
    real, calls = loop.validate, []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == when:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(loop, "validate", interrupt)
    broken = run(discs, tmp_path / "broken", evaluate_every=4)
    assert not broken.finished and weights(tmp_path / "broken")["progress"]["step"] == 4 * when
    assert len([row for row in rows_of(tmp_path / "broken") if row["score"]]) == when - 1
    assert run(discs, tmp_path / "broken", resume=True).finished
    whole, again = rows_of(tmp_path / "whole"), rows_of(tmp_path / "broken")
    for row in (*whole, *again):
        assert float(row.pop("seconds_per_step")) > 0
    assert whole == again
    best = [weights(tmp_path / name)["progress"]["best"] for name in ("whole", "broken")]
    assert best[0] == best[1] >= 0


def test_workers_change_nothing(discs, tmp_path):
    run(discs, tmp_path / "alone", steps=2)
    run(discs, tmp_path / "helped", steps=2, workers=2)
    alone, helped = weights(tmp_path / "alone"), weights(tmp_path / "helped")
    for name, tensor in alone["network"].items():
        assert torch.equal(tensor, helped["network"][name]), name


def test_oneformer_trains_all_tasks_and_saves_its_text_vocabulary(discs, tmp_path, monkeypatch):
    monkeypatch.setitem(
        unimask.presets.PRESETS, "one", lambda n: replace(TINY_ONEFORMER, num_classes=n)
    )
    settings = replace(SETTINGS, steps=25, evaluate_every=0, save_every=20)
    out = tmp_path / "run"
    result = train(discs, "one", task="all", out=out, settings=settings, device="cpu", quiet=True)
    with (out / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[0]["loss"])
    assert result.predictor.tasks == ("panoptic", "instance", "semantic")
    assert result.predictor.network.text_mapper is None  # not needed for prediction
    state = read_huggingface(out / "weights" / "last").state
    assert state["text_mapper.encoder.token_embedding.weight"].shape[0] == 259
    again = train(
        discs, str(out), task="semantic", out=tmp_path / "next",
        settings=replace(settings, steps=1), device="cpu", quiet=True,
    )  # fmt: skip
    assert again.predictor.tasks == ("semantic",)


def test_only_task_conditioned_networks_train_several_tasks(discs, tmp_path):
    with pytest.raises(SettingsError, match="train it for panoptic, which serves all three"):
        train(discs, "tiny", task="all", out=tmp_path, device="cpu", quiet=True)


def test_weights_for_other_classes_keep_all_but_the_class_head(discs, tiny_model, tmp_path):
    out = tmp_path / "run"
    train(
        discs, str(tiny_model), out=out, names=("cell", "ground"), device="cpu", quiet=True,
        settings=replace(SETTINGS, steps=1, learning_rate=1e-12),
    )  # fmt: skip
    before, after = unimask.load(tiny_model).network, unimask.load(out).network
    for (name, old), new in zip(
        before.state_dict().items(), after.state_dict().values(), strict=True
    ):
        assert torch.allclose(old, new, atol=1e-6) == ("class_embed" not in name), name


def test_a_run_starts_from_imagenet_backbone_weights(discs, tmp_path, monkeypatch):
    config = replace(TINY_RESNET, backbone=replace(TINY_RESNET.backbone, norm="frozen_batch"))
    monkeypatch.setitem(
        unimask.presets.PRESETS, "tiny", lambda classes: replace(config, num_classes=classes)
    )
    backbone = build_backbone(config.backbone).state_dict()
    file = str(tmp_path / "resnet.pth")
    torch.save(backbone | {"linear.weight": torch.ones(9, 32)}, file)
    changes = {"steps": 2, "warmup_steps": 0, "backbone_rate": 0.0, "backbone_weights": file}
    run(discs, tmp_path / "run", **changes)
    state = unimask.load(tmp_path / "run", device="cpu").network.state_dict()
    for name, tensor in backbone.items():  # unchanged at a learning rate of 0
        torch.testing.assert_close(state[f"backbone.{name}"], tensor, rtol=0, atol=0)
    (tmp_path / "resnet.pth").unlink()  # the state of the run contains all weights
    assert run(discs, tmp_path / "run", resume=True).finished


def test_training_starts_from_an_authors_file(discs, tmp_path):
    config = replace(TINY_RESNET, num_classes=5)
    trained = build_segmenter(config).state_dict()
    file = tmp_path / "model_final.pth"
    torch.save({"model": to_theirs(trained, NAMES)}, file)
    labels = open_dataset(discs, "train").labels
    initial, state, words = start(str(file), labels, ("panoptic",), SETTINGS)
    assert initial.pretrained and initial.description.labels == labels
    assert f"new class head for {len(labels)} classes instead of 5" in words
    for name, tensor in state.items():
        assert torch.equal(tensor, trained[name]) != name.startswith(CLASS_HEADS)


def test_backbone_weights_require_an_untrained_network(discs, tiny_model, tmp_path):
    settings = replace(SETTINGS, backbone_weights="resnet.pth")
    with pytest.raises(SettingsError, match=r"backbone_weights resnet\.pth goes with a preset"):
        train(discs, str(tiny_model), out=tmp_path / "run", settings=settings, device="cpu")


def test_a_second_run_does_not_overwrite_the_first(discs, tmp_path):
    run(discs, tmp_path / "run", steps=1)
    with pytest.raises(SettingsError, match="already holds a run"):
        run(discs, tmp_path / "run", steps=1)


def test_resuming_without_a_run_is_reported(discs, tmp_path):
    with pytest.raises(TrainingError, match="no run to resume"):
        run(discs, tmp_path / "nothing", resume=True)
