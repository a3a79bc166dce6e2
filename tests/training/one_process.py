"""One of several processes of a run started by `torchrun`; see test_processes.py.

Arguments: data, folder of the run, the step with a NaN loss in process 1, the step at which it is
interrupted. The run is then resumed to its end; `rankN.pt` has the state at the interruption, and
`endN.pt` that at the end.
"""

import os
import signal
import sys
from dataclasses import replace

import torch
from conftest import TINY_RESNET

import unimask
from unimask.config import CriterionConfig
from unimask.datasets.transforms import Augmentation
from unimask.training import TrainingSettings, loop, steps, train

rank = int(os.environ["RANK"])
SETTINGS = TrainingSettings(
    precision="float32" if rank == 0 else "bfloat16",  # as if measured on unlike processors
    steps=4,
    batch_size=1,
    learning_rate=1e-3,
    clip_norm=1.0,
    warmup_steps=1,
    workers=0,
    augmentation=Augmentation(crop=64),
    criterion=CriterionConfig(num_points=64),
)

data, out, bad_step, stop_step = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
real_forward, real_update = steps.forward, steps.update
recorded: dict = {}


def forward(fabric, state, batch, generator):
    losses = real_forward(fabric, state, batch, generator)
    recorded["state"] = state
    recorded["precision"] = fabric._precision.precision
    if rank == 1 and recorded["step"] == bad_step:
        return losses._replace(total=losses.total * float("nan"))
    return losses


def update(fabric, state, stream, step, settings):
    recorded["step"] = step
    losses = real_update(fabric, state, stream, step, settings)
    if rank == 1 and step == stop_step:
        os.kill(os.getpid(), signal.SIGTERM)
    return losses


torch.set_num_threads(1)
unimask.presets.PRESETS["tiny"] = lambda num_classes: replace(TINY_RESNET, num_classes=num_classes)
steps.forward, loop.update = forward, update
for name, resume in (("rank", False), ("end", True)):
    run = train(data, "tiny", out=out, settings=SETTINGS, resume=resume, device="cpu", quiet=True)
    state = recorded["state"]
    torch.save(
        {
            "weights": state.network.module.state_dict(),
            "bad": state.progress.skipped_steps,
            "updates": state.average.updates,
            "finished": run.finished,
            "precision": recorded["precision"],
        },
        f"{out}/{name}{rank}.pt",
    )
    torch.distributed.barrier()  # wait until the first process has saved the state
