"""Runs under failures: SIGKILL, full disks, missing or corrupt images, out of memory."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY_RESNET, write_discs

import unimask
from unimask.config import CriterionConfig
from unimask.datasets.transforms import Augmentation
from unimask.errors import DataError, ImageError, OutputError, TrainingError
from unimask.training import TrainingSettings, steps, train
from unimask.training.run_folder import RunFolder

pytest.importorskip("lightning_fabric")

PROGRAM = Path(__file__).with_name("killed.py")
SETTINGS = TrainingSettings(
    steps=4,
    batch_size=2,
    learning_rate=1e-3,
    warmup_steps=1,
    workers=0,
    save_every=1,
    augmentation=Augmentation(crop=64),
    criterion=CriterionConfig(num_points=64),
)


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch):
    monkeypatch.setitem(
        unimask.presets.PRESETS, "tiny", lambda classes: replace(TINY_RESNET, num_classes=classes)
    )


def run(data, out, **changes):
    if changes.pop("resume", False):
        return train(out=out, resume=True, quiet=True, **changes)
    settings = replace(SETTINGS, **changes)
    return train(data, "tiny", out=out, settings=settings, device="cpu", quiet=True)


KILLS = ("0-step", "4-metrics", "3-save")


@pytest.fixture(scope="module")
def killed_runs(discs, tmp_path_factory):
    """Folder of an uninterrupted run and of killed and resumed ones, with exit codes."""
    folder = tmp_path_factory.mktemp("killed")
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(discs), str(folder), *KILLS],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads(done.stdout), done.stderr[-3000:]


@pytest.mark.parametrize("case", KILLS)
def test_killed_and_resumed_runs_end_with_the_same_weights(killed_runs, case):
    """Drop path, points, augmentation, accumulation and averages are bitwise equal."""
    folder, codes, err = killed_runs
    whole, resumed = folder / "whole", folder / case
    assert codes["whole"] == [0] and codes[case] == [-signal.SIGKILL, 0], err
    expected, found = (torch.load(run / "state.pt", weights_only=True) for run in (whole, resumed))
    for part in ("network", "average"):
        tensors = (s[part] if part == "network" else s[part]["state"] for s in (expected, found))
        for (name, one), other in zip(*(t.items() for t in tensors), strict=True):
            assert torch.equal(one, other[1]), name
    assert found["progress"] == expected["progress"]
    rows = [
        [{k: v for k, v in row.items() if k != "seconds_per_step"} for row in folder.rows()]
        for folder in (RunFolder(whole), RunFolder(resumed))
    ]
    assert rows[0] == rows[1]


def test_a_full_disk_is_reported_and_keeps_the_previous_state(discs, tmp_path, monkeypatch):
    """A file size limit simulates the full disk: both interrupt writing."""
    real = steps.update

    def fill(fabric, state, stream, step, settings):
        losses = real(fabric, state, stream, step, settings)
        if step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        return losses

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr("unimask.training.loop.update", fill)
    try:
        with pytest.raises(OutputError, match=r"cannot write \S+state\.pt") as failed:
            run(discs, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(failed.value)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["progress"]["step"] == 2
    assert not list(tmp_path.glob(".partial*"))
    monkeypatch.setattr("unimask.training.loop.update", real)
    assert run(discs, tmp_path, resume=True).finished


@pytest.fixture
def corrupt_dataset(discs, tmp_path):
    """Dataset with a truncated image."""
    data = tmp_path / "corrupt"
    shutil.copytree(discs, data)
    image = data / "train" / "images" / "3.png"
    image.write_bytes(image.read_bytes()[:300])
    return data


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_image_stops_the_run_by_name(corrupt_dataset, tmp_path, workers):
    with pytest.raises((DataError, ImageError), match=r"^\S+3\.png") as failed:
        run(corrupt_dataset, tmp_path / "run", workers=workers)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_corrupt_images_are_skipped_and_counted(corrupt_dataset, tmp_path, workers, capsys):
    settings = replace(SETTINGS, on_bad_image="skip", steps=3, workers=workers)
    out = tmp_path / "run"
    assert train(corrupt_dataset, "tiny", out=out, settings=settings, device="cpu").finished
    output = capsys.readouterr().out
    assert output.count("skipped: ") == 1 and "3.png" in output
    assert RunFolder(out).rows()[-1]["unreadable"] == "1"  # once per epoch of six images
    state = torch.load(out / "state.pt", weights_only=True)
    assert state["progress"]["unreadable_images"] == 1


def test_vanished_images_are_skipped_too(discs, tmp_path, monkeypatch):
    data = tmp_path / "data"
    shutil.copytree(discs, data)
    real = steps.update

    def vanish(fabric, state, stream, step, settings):
        (data / "train" / "images" / "2.png").unlink(missing_ok=True)
        (data / "val" / "masks" / "0.png").unlink(missing_ok=True)
        return real(fabric, state, stream, step, settings)

    monkeypatch.setattr("unimask.training.loop.update", vanish)
    assert run(data, tmp_path / "run", on_bad_image="skip").finished


def test_data_without_any_readable_image_stop_the_run(tmp_path):
    data = write_discs(tmp_path / "data", {"train": 2, "val": 1})
    for image in (data / "train" / "images").iterdir():
        image.write_bytes(b"no image")
    with pytest.raises(DataError, match="100 images in a row cannot be read"):
        run(data, tmp_path / "run", on_bad_image="skip")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        None,
    ],
    ids=["gpu", "python", "cpu"],
)
def test_out_of_memory_errors_suggest_settings_to_lower(discs, tmp_path, monkeypatch, error):
    def greedy(fabric, state, batch, generator):
        if error is None:
            torch.empty(2**50)
        raise error

    monkeypatch.setattr(steps, "forward", greedy)
    with pytest.raises(TrainingError, match="step 1: out of memory") as failed:
        run(discs, tmp_path)
    for option in (
        "--batch-size (now 2",
        "--accumulate",
        "--size (now 64)",
        "--queries",
        "--recompute",
    ):
        assert option in str(failed.value)


def test_other_exceptions_are_unchanged(discs, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("a programming error")

    monkeypatch.setattr(steps, "forward", broken)
    with pytest.raises(RuntimeError, match="a programming error"):
        run(discs, tmp_path)


def test_patience_ends_a_run_that_does_not_get_better(discs, tmp_path, monkeypatch):
    monkeypatch.setattr("unimask.training.loop.validate", lambda *_: ("PQ", 1.0))
    done = run(discs, tmp_path, steps=40, evaluate_every=2, patience=2)
    assert done.finished and RunFolder(tmp_path).rows()[-1]["step"] == "6"
    assert run(discs, tmp_path, resume=True).finished  # nothing is left to do
    assert RunFolder(tmp_path).rows()[-1]["step"] == "6"
