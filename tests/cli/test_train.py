"""`unimask train` in one of several processes."""

from pathlib import Path

import pytest

import unimask.training
from unimask.training.train import Run


@pytest.mark.parametrize(("rank", "times"), [(None, 1), ("0", 1), ("1", 0), ("7", 0)])
def test_one_of_several_processes_prints_where_the_weights_are(
    command, monkeypatch, tmp_path, rank, times
):
    """Elsewhere each of eight processes prints the same line."""
    pytest.importorskip("lightning_fabric")
    (tmp_path / "weights" / "best").mkdir(parents=True)
    monkeypatch.setattr(unimask.training, "train", lambda *_, **__: Run(tmp_path, {}, True))
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    code, printed, _ = command("train", tmp_path)
    assert code == 0 and printed.count("best weights: ") == times


@pytest.mark.parametrize(("rank", "times"), [("0", 1), ("1", 0)])
def test_only_one_process_reports_the_interruption(command, monkeypatch, tmp_path, rank, times):
    monkeypatch.setattr(unimask.training, "train", lambda *_, **__: Run(Path(tmp_path), {}, False))
    monkeypatch.setenv("RANK", rank)
    code, _, err = command("train", tmp_path)
    assert code == 130 and err.count("unimask: stopped") == times


def test_data_may_be_left_out_only_to_resume(command, check_error, tmp_path):
    code, _, err = command("train", "--out", tmp_path)
    check_error(code, err, "pass DATA", "--resume")
    code, _, err = command("train", "--resume")
    check_error(code, err, "--resume needs --out")
    code, _, err = command("train", "--resume", "--out", tmp_path / "none")
    check_error(code, err, "holds no run to resume")
