"""Two processes train together: both skip bad steps, and stop after the same step."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("lightning_fabric")

from unimask.training import processes

PROGRAM = Path(__file__).with_name("one_process.py")


BAD_STEP, STOP_STEP = 1, 2
"""The step with a NaN loss in one process, and the step after which one is interrupted."""


@pytest.fixture(scope="module")
def two(discs, tmp_path_factory):
    """Return the folder of a run of two processes that was stopped and resumed."""
    out = tmp_path_factory.mktemp("two") / "run"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(PROGRAM), str(discs), str(out), str(BAD_STEP), str(STOP_STEP),
    ]  # fmt: skip
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def read_results(out, name):
    """Return the states of both processes at the interruption ("rank") or the end ("end")."""
    return [torch.load(out / f"{name}{rank}.pt") for rank in (0, 1)]


def test_a_signal_to_one_process_stops_both_after_the_same_step(two):
    first, second = read_results(two, "rank")
    assert not first["finished"] and not second["finished"]
    assert first["updates"] == second["updates"] == STOP_STEP  # one of the steps 0 to 2 was skipped


def test_a_step_that_is_bad_in_one_process_is_skipped_in_both(two):
    first, second = read_results(two, "end")
    assert first["finished"] and second["finished"]
    assert first["bad"] == second["bad"] == 1
    assert first["updates"] == second["updates"] == 3
    for name, tensor in first["weights"].items():
        assert torch.equal(tensor, second["weights"][name]), name
        assert tensor.isfinite().all(), name
    assert torch.load(two / "state.pt", weights_only=True)["progress"]["step"] == 4


def test_all_processes_compute_in_the_precision_of_the_first(two):
    assert [result["precision"] for result in read_results(two, "end")] == ["32-true"] * 2


def test_bfloat16_starts_without_lightning_messages(capfd):
    processes.launch("cpu", "bfloat16")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("lightning_fabric").level == logging.INFO  # unchanged
