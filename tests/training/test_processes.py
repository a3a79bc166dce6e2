"""Two processes train as one: they skip bad steps together, and stop after the same step."""

import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("lightning_fabric")

PROGRAM = """
import os, signal, sys
from dataclasses import replace
sys.path.insert(0, {tests!r})
import unimask, torch
from unimask.config import CriterionConfig
from unimask.datasets.transforms import Augmentation
from unimask.training import TrainingSettings, loop, steps, train

torch.set_num_threads(1)
data, out, spoil, stop = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rank = int(os.environ["RANK"])
unimask.presets.PRESETS["tiny"] = lambda n: replace(TINY_RESNET, num_classes=n)
real_forward, real_update, networks = steps.forward, steps.update, []

def forward(fabric, trainee, batch, generator):
    losses = real_forward(fabric, trainee, batch, generator)
    return losses._replace(total=losses.total * float("nan")) if forward.spoiled else losses

def update(fabric, trainee, stream, step, settings):
    networks[:] = [trainee]
    forward.spoiled = rank == 1 and step == spoil
    losses = real_update(fabric, trainee, stream, step, settings)
    if rank == 1 and step == stop:
        os.kill(os.getpid(), signal.SIGTERM)
    return losses

steps.forward, loop.update = forward, update
settings = TrainingSettings(
    steps=4, batch_size=1, learning_rate=1e-3, clip_norm=1.0, warmup_steps=1, workers=0,
    augmentation=Augmentation(crop=64), criterion=CriterionConfig(num_points=64),
)
run = train(data, "tiny", out=out, settings=settings, device="cpu", quiet=True)
trainee = networks[0]
torch.save(
    {{
        "weights": trainee.network.module.state_dict(), "bad": trainee.bad_steps,
        "updates": trainee.average.updates, "finished": run.finished,
    }},
    f"{{out}}/rank{{rank}}.pt",
)
"""


def train_with_two(data, out, *, spoil=-1, stop=-1):
    """Give what each of two processes ended with."""
    program = out.parent / "program.py"
    program.write_text(PROGRAM.format(tests=os.path.dirname(os.path.dirname(__file__))))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(program), str(data), str(out), str(spoil), str(stop),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
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
