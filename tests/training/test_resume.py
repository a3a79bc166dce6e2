"""Runs resume from their folder alone, with the same settings and data."""

import hashlib
import inspect
import json
import os
import shlex
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY_DETR, TINY_ONEFORMER, TINY_RESNET, write_discs

import unimask
from unimask.checkpoints import read_huggingface
from unimask.cli.train import train as train_command
from unimask.config import BoxCriterionConfig, CriterionConfig
from unimask.datasets.transforms import Augmentation
from unimask.errors import OutputError, SettingsError, TrainingError
from unimask.inference import dtypes
from unimask.inference.dtype_speed import Speedups
from unimask.training import TrainingSettings, steps, train
from unimask.training.plan.changes import MAY_CHANGE, PYTHON_ONLY
from unimask.training.plan.words import OPTIONS
from unimask.training.processes import resume_command
from unimask.training.run_folder import RunFolder

pytest.importorskip("lightning_fabric")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

SETTINGS = TrainingSettings(
    steps=2,
    batch_size=2,
    learning_rate=1e-3,
    warmup_steps=1,
    workers=0,
    augmentation=Augmentation(crop=64),
    criterion=CriterionConfig(num_points=64),
)


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch):
    for name, config in (("tiny", TINY_RESNET), ("one", TINY_ONEFORMER), ("detr", TINY_DETR)):
        monkeypatch.setitem(
            unimask.presets.PRESETS,
            name,
            lambda classes, config=config: replace(config, num_classes=classes),
        )


def start(data, out, model="tiny", *, stop_after=None, monkeypatch=None, **options):
    """Start a run, and interrupt it after some steps."""
    real = steps.update

    def stopped(fabric, state, stream, step, settings):
        losses = real(fabric, state, stream, step, settings)
        if step + 1 == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    options = {"settings": SETTINGS, "device": "cpu", "quiet": True} | options
    if stop_after is None:
        return train(data, model, out=out, **options)
    with monkeypatch.context() as patch:
        patch.setattr("unimask.training.loop.update", stopped)
        return train(data, model, out=out, **options)


def resume_run(out, **options):
    return train(out=out, resume=True, **{"quiet": True} | options)


def state_of(out) -> dict:
    return torch.load(out / "state.pt", weights_only=True)


def digests(out) -> dict[str, str]:
    """Return the hash of each file except the lock."""
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and not p.name.startswith(".lock")]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("tiny", "semantic"),
        ("weights", "instance"),
        ("one", "all"),
        ("nuclei", None),
        ("detr", "panoptic"),
    ],
)
def test_runs_resume_from_their_folder_alone(discs, tiny_model, tmp_path, monkeypatch, model, task):
    """Task, network, names and data are read from the folder; the initial model is deleted."""
    data, options = tmp_path / "data", {"task": task, "names": ("cell", "ground")}
    shutil.copytree(discs, data)
    if model == "detr":
        options["settings"] = replace(SETTINGS, criterion=BoxCriterionConfig(giou_weight=3.0))
    if model == "weights":
        model = str(tmp_path / "weights")
        shutil.copytree(tiny_model, model)
    start(data, tmp_path / "whole", model, **options)
    out = tmp_path / "broken"
    assert not start(data, out, model, stop_after=1, monkeypatch=monkeypatch, **options).finished
    shutil.rmtree(tmp_path / "weights", ignore_errors=True)
    before = (out / "settings.json").read_text()
    monkeypatch.chdir(tmp_path / "whole")
    assert resume_run(out).finished
    assert (out / "settings.json").read_text() == before
    whole, again = state_of(tmp_path / "whole"), state_of(out)
    for name, tensor in whole["network"].items():
        assert torch.equal(tensor, again["network"][name]), name
    for name, tensor in whole["average"]["state"].items():
        assert torch.equal(tensor, again["average"]["state"][name]), name
    weights = read_huggingface(out / "weights" / "last")
    assert weights.description.labels.names == ("cell", "ground")
    expected = {
        "semantic": ("semantic",),
        "instance": ("instance",),
        "all": ("panoptic", "instance", "semantic"),
        "panoptic": ("panoptic", "instance", "semantic"),
        None: ("panoptic", "instance", "semantic"),
    }
    assert weights.description.tasks == expected[task]


@pytest.fixture(scope="module")
def finished(discs, tmp_path_factory):
    """Finished run of two steps, which tests must not modify."""
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            unimask.presets.PRESETS, "tiny", lambda n: replace(TINY_RESNET, num_classes=n)
        )
        start(discs, out, task="semantic", seed=7)
    return out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "panoptic"}, "--task panoptic contradicts .* which has semantic"),
        ({"model": "mask2former-nano"}, "--model mask2former-nano contradicts .* has tiny"),
        ({"names": ("a", "b")}, "--names a,b contradicts .* has none"),
        ({"format": "semantic maps"}, "--format semantic maps contradicts"),
        ({"split": "test"}, "--split test contradicts"),
        ({"val_split": "test"}, "--val-split test contradicts"),
        ({"window": (0.0, 9.5)}, r"--window 0\.0,9\.5 contradicts .* has none"),
        ({"seed": 8}, "--seed 8 contradicts .* which has 7"),
        ({"size": 96}, "--size 96 contradicts .* which has 64"),
        ({"num_queries": 30}, "--queries 30 contradicts .* which has none"),
        ({"backbone": "swin-tiny"}, "--backbone swin-tiny contradicts"),
        ({"settings": replace(SETTINGS, ema_decay=0.5)}, r"--ema-decay 0\.5 contradicts"),
        ({"learning_rats": 1}, "'learning_rats' is no setting"),
        ({"steps": 3, "epochs": 2}, "--steps or --epochs, not both"),
        ({"batch_size": 1, "steps": 9}, "takes 2 images, this would take 1 .* --accumulate 2"),
        ({"accumulate": 2}, "takes 2 images, this would take 4"),
        ({"epochs": float("nan")}, "epochs is nan"),
    ],
)
def test_options_contradicting_the_run_are_refused_by_name(finished, options, words):
    before = digests(finished)
    with pytest.raises(SettingsError, match=words) as failed:
        resume_run(finished, **options)
    assert "\n" not in str(failed.value)
    if "contradicts" in words:  # changeable options are listed
        assert all(option in str(failed.value) for option in ("--workers", "--epochs", "--device"))
    assert digests(finished) == before


def test_recorded_settings_may_be_repeated(finished, discs, capsys):
    same = {"model": "tiny", "task": "semantic", "seed": 7, "size": 64, "tokenizer": "auto"}
    assert resume_run(finished, data=discs, quiet=False, **same).finished
    assert "has taken 2 steps, and 2 are requested" in capsys.readouterr().out


def test_changeable_settings_are_command_line_options():
    known = set(inspect.signature(train_command).parameters)
    assert {OPTIONS.get(name, name) for name in set(MAY_CHANGE) - PYTHON_ONLY} <= known
    assert not known & PYTHON_ONLY


def test_every_setting_is_either_fixed_or_changeable():
    known = {field for field in TrainingSettings.__slots__} | {"epochs", "device"}
    assert set(MAY_CHANGE) <= known
    assert {"seed", "augmentation", "criterion", "tokenizer"} & set(MAY_CHANGE) == set()


def test_a_run_is_lengthened_and_its_batches_are_cut(discs, finished, tmp_path, capsys):
    """Images per update are fixed; batch size and accumulation may change."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    options = {"steps": 4, "batch_size": 1, "accumulate": 2, "evaluate_every": 1, "patience": 5}
    assert resume_run(out, quiet=False, **options).finished
    printed = capsys.readouterr().out
    assert (
        "tiny: resumed after step 2 of 4\n--steps is now 4, not 2\n--batch-size is now 1" in printed
    )
    assert [int(row["step"]) for row in RunFolder(out).rows() if row["score"]] == [2, 3, 4]
    settings = RunFolder(out).read_settings()
    assert (settings.steps, settings.batch_size, settings.seed) == (4, 1, 7)
    assert (
        resume_run(out, epochs=2).finished and state_of(out)["progress"]["step"] == 6
    )  # six images, two per step


def test_resuming_with_fewer_steps_changes_nothing(finished, command):
    before = digests(finished)
    code, printed, err = command("train", "--resume", "--out", finished, "--steps", 1)
    assert (code, err) == (0, "")
    assert "has taken 2 steps, and 1 are requested: nothing is left to do" in printed
    assert f"best weights: {finished}" in printed
    assert digests(finished) == before


def test_runs_ended_by_patience_resume_with_more_patience(discs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("unimask.training.loop.validate", lambda *_: ("PQ", 1.0))
    settings = replace(SETTINGS, steps=6, evaluate_every=1, patience=1)
    start(discs, tmp_path, settings=settings)
    assert state_of(tmp_path)["progress"]["step"] == 2
    assert (
        resume_run(tmp_path, quiet=False).finished and state_of(tmp_path)["progress"]["step"] == 2
    )
    assert "raise --patience" in capsys.readouterr().out
    assert resume_run(tmp_path, patience=2).finished and state_of(tmp_path)["progress"]["step"] == 3


def test_a_measured_precision_is_printed_recorded_and_kept(discs, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    speed = {"product": 1.7, "depthwise": 1.7}
    monkeypatch.setattr(dtypes, "measured_speedups", lambda training: Speedups(**speed))
    options = {"settings": None, "size": 64, "steps": 3, "workers": 0, "quiet": False}
    start(discs, out, stop_after=1, monkeypatch=monkeypatch, **options)
    printed = capsys.readouterr().out
    assert "precision bfloat16: bfloat16 measured 1.7 times as fast as float32" in printed
    record, settings = RunFolder(out).read_record()
    assert settings.precision == "bfloat16" and record.bfloat16_speedup == pytest.approx(1.7)
    speed.update(product=0.5, depthwise=0.5)
    resume_run(out, quiet=False)
    assert "; bfloat16; " in capsys.readouterr().out
    record, settings = RunFolder(out).read_record()
    assert settings.precision == "bfloat16" and record.bfloat16_speedup == pytest.approx(1.7)


def test_a_given_precision_is_not_measured(discs, tmp_path, monkeypatch):
    monkeypatch.setattr(dtypes, "measured_speedups", lambda training: pytest.fail("measured"))
    out = tmp_path / "run"
    options = {"settings": None, "size": 64, "steps": 1, "workers": 0, "precision": "bfloat16"}
    start(discs, out, **options)
    record, settings = RunFolder(out).read_record()
    assert settings.precision == "bfloat16" and record.bfloat16_speedup is None


def test_moved_data_are_found_at_the_given_path(discs, finished, tmp_path):
    out, moved = tmp_path / "run", tmp_path / "elsewhere" / "discs"
    shutil.copytree(finished, out)
    shutil.copytree(discs, moved)
    content = json.loads((out / "settings.json").read_text())
    (out / "settings.json").write_text(json.dumps(content | {"data": str(tmp_path / "gone")}))
    with pytest.raises(TrainingError, match="gone, which is gone: pass its new place"):
        resume_run(out)
    assert resume_run(out, data=moved, steps=3).finished
    assert json.loads((out / "settings.json").read_text())["data"] == str(moved)
    assert resume_run(out, steps=4).finished


def rename_image(data: Path) -> None:
    for kind in ("images", "masks"):
        (data / "train" / kind / "3.png").rename(data / "train" / kind / "x.png")


def remove_image(data: Path) -> None:
    for kind in ("images", "masks"):
        (data / "val" / kind / "1.png").unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            rename_image,
            r"train had 6 images and has 6 \(1 missing: train/images/3\.png, 1 new: "
            r"train/images/x\.png\)",
        ),
        (remove_image, r"val had 2 images and has 1 \(1 missing: val/images/1\.png\)"),
    ],
)
def test_other_data_are_refused_with_what_changed(discs, finished, tmp_path, change, words):
    shutil.copytree(discs, tmp_path / "data")
    change(tmp_path / "data")
    before = digests(finished)
    with pytest.raises(TrainingError, match=words) as failed:
        resume_run(finished, data=tmp_path / "data")
    assert "\n" not in str(failed.value) and digests(finished) == before


def test_data_contradicting_the_recorded_names_count_as_changed(discs, finished, tmp_path):
    """The resumed run has no --names, so the message is about the dataset."""
    run, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(finished, run)
    content = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps(content | {"names": ["a", "b"]}))
    shutil.copytree(discs / "train" / "images", data / "images")
    image = {"id": 1, "file_name": "3.png", "height": 64, "width": 64}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 9, 9], "iscrowd": 0}
    box["segmentation"] = [[2, 2, 11, 2, 11, 11, 2, 11]]
    coco = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "sea"}]}
    (data / "instances.json").write_text(json.dumps(coco))
    with pytest.raises(TrainingError, match=r"data is not the dataset of the run in .*sea"):
        resume_run(run, data=data)


def test_runs_of_earlier_releases_resume_with_their_recorded_values(discs, tmp_path, monkeypatch):
    """Earlier releases recorded model, task, data and settings, but not the required names."""
    start(discs, tmp_path, stop_after=1, monkeypatch=monkeypatch, names=("cell", "ground"))
    content = json.loads((tmp_path / "settings.json").read_text())
    old = {name: content[name] for name in ("model", "task", "data", "labels", "settings")}
    (tmp_path / "settings.json").write_text(json.dumps(old))
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(TrainingError, match="classes cell, ground; the dataset has object, back"):
        resume_run(tmp_path)
    with pytest.raises(SettingsError, match="--task semantic contradicts"):
        resume_run(tmp_path, task="semantic")
    assert resume_run(tmp_path, names=("cell", "ground"), device="cpu").finished
    assert resume_run(tmp_path, steps=3).finished  # the folder is complete now


def test_new_runs_do_not_touch_foreign_files(discs, tmp_path):
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(OutputError, match="unimask did not write"):
        start(discs, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_resuming_needs_the_folder(tmp_path):
    with pytest.raises(SettingsError, match="--resume needs --out"):
        train(resume=True)
    with pytest.raises(TrainingError, match="holds no run to resume"):
        resume_run(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(SettingsError, match="pass DATA"):
        train(model="tiny", out=tmp_path)


def test_the_printed_resume_command_works(discs, tmp_path, monkeypatch, capsys, command):
    out = tmp_path / "it's [b]a run"
    start(discs, out, stop_after=1, monkeypatch=monkeypatch, quiet=False)
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("interrupted"))
    program, *arguments = shlex.split(line.split("continue with: ")[1])
    assert program == "unimask" and str(out) in arguments
    code, printed, err = command(*arguments)
    assert (code, err) == (0, "") and f"best weights: {out}" in printed


def test_the_resume_command_includes_torchrun_if_needed(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    command = resume_command(Path("runs/a b"))
    assert command == (
        "torchrun --standalone --nproc-per-node 2 -m unimask train --resume --out 'runs/a b'"
    )
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert "on each machine" in resume_command(Path("runs/a"))


def test_splits_of_other_names_are_trained_and_validated_on(tmp_path, monkeypatch):
    data = write_discs(tmp_path / "data", {"fold1": 5, "fold2": 2})
    out = tmp_path / "run"
    options = {"split": "fold1", "val_split": "fold2", "stop_after": 1, "monkeypatch": monkeypatch}
    start(data, out, **options)
    content = json.loads((out / "dataset.json").read_text())
    assert [len(content[part]["files"]) for part in ("train", "val")] == [5, 2]
    assert all("fold2" in name for name in content["val"]["files"])
    assert resume_run(out, split="fold1").finished
    start(data, tmp_path / "one", split="fold1")  # without a validation split
    content = json.loads((tmp_path / "one" / "dataset.json").read_text())
    assert [len(content[part]["files"]) for part in ("train", "val")] == [4, 1]


def test_a_dataset_without_splits_is_trained_on_entirely_if_another_is_for_validation(tmp_path):
    data = write_discs(tmp_path / "data", {"train": 5, "test": 2})
    start(data, tmp_path / "run", val_split="test")
    content = json.loads((tmp_path / "run" / "dataset.json").read_text())
    assert [len(content[part]["files"]) for part in ("train", "val")] == [5, 2]
