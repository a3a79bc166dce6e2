"""Two processes train as one: they skip bad steps together, and stop after the same step."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("lightning_fabric")

PROGRAM = Path(__file__).with_name("one_process.py")


def train_with_two(data, out, *, spoil=-1, stop=-1):
    """Give what each of two processes ended with."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(PROGRAM), str(data), str(out), str(spoil), str(stop),
    ]  # fmt: skip
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(out / f"rank{rank}.pt") for rank in (0, 1)]


def test_a_step_that_is_bad_in_one_process_is_skipped_in_both(discs, tmp_path):
    first, second = train_with_two(discs, tmp_path / "run", spoil=1)
    assert first["finished"] and second["finished"]
    assert first["bad"] == second["bad"] == 1
    assert first["updates"] == second["updates"] == 3
    for name, tensor in first["weights"].items():
        assert torch.equal(tensor, second["weights"][name]), name
        assert tensor.isfinite().all(), name


def test_a_signal_to_one_process_stops_both_after_the_same_step(discs, tmp_path):
    first, second = train_with_two(discs, tmp_path / "run", stop=1)
    assert not first["finished"] and not second["finished"]
    assert first["updates"] == second["updates"] == 2
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 2
