"""Loggers of other packages."""

import sys
from types import SimpleNamespace

import pytest

from unimask.errors import MissingExtraError, SettingsError
from unimask.training import train
from unimask.training.loggers import numbers_of, open_loggers


class Recorder:
    """Stub of a package that records calls in order."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs)) or self


def test_rows_become_numbers_under_their_own_names():
    row = {"step": 3, "loss": 1.5, "metric": "PQ", "score": 20.0, "unreadable": 0}
    assert numbers_of(row) == {"loss": 1.5, "PQ": 20.0, "unreadable": 0.0}
    assert numbers_of({"step": 3, "loss": 2}) == {"loss": 2.0}


def test_unknown_loggers_and_missing_packages(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match="choose of tensorboard, wandb, mlflow"):
        open_loggers(["paper"], tmp_path, {})
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"unimask\[wandb\]"):
        open_loggers(["wandb"], tmp_path, {})


def test_weights_and_biases_gets_every_row(tmp_path, monkeypatch):
    package = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=package.init))
    (logger,) = open_loggers(["wandb"], tmp_path, {"model": "nano"})
    logger.log({"loss": 1.0}, 5)
    logger.close()
    assert [name for name, *_ in package.calls] == ["init", "log", "finish"]
    assert package.calls[0][2]["config"] == {"model": "nano"}
    assert package.calls[1] == ("log", ({"loss": 1.0},), {"step": 5})


def test_a_run_is_logged_and_its_logger_closed(discs, tmp_path, monkeypatch):
    package = Recorder()
    monkeypatch.setitem(sys.modules, "mlflow", package)
    options = {"steps": 2, "size": 64, "batch_size": 2, "workers": 0, "precision": "float32"}
    train(
        discs, "mask2former-nano", out=tmp_path / "run", device="cpu", quiet=True,
        loggers=("mlflow",), **options,
    )  # fmt: skip
    names = [name for name, *_ in package.calls]
    assert names[:2] == ["start_run", "log_params"] and names[-1] == "end_run"
    logged = [kwargs["step"] for name, _, kwargs in package.calls if name == "log_metrics"]
    assert logged[-1] == 2


def test_tensorboard_reads_what_was_logged(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (logger,) = open_loggers(["tensorboard"], tmp_path, {"model": "nano"})
    logger.log({"loss": 1.5}, 7)
    logger.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(7, 1.5)]
