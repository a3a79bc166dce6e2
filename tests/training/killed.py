"""Runs that kill themselves with SIGKILL and are resumed; see test_survival.py.

Arguments: data, a folder for the runs, and "STEP-WHERE" for each run that dies: in that step,
"step" after the update, "save" in the middle of writing the state, "metrics" after a torn line.
Prints the exit code of each process as JSON. Each run is a fork of this process, so that all
imports are paid once.
"""

import json
import os
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import torch
from conftest import TINY_SWIN

import unimask
from unimask.config import CriterionConfig
from unimask.datasets.transforms import Augmentation
from unimask.training import TrainingSettings, loop, run_folder, train

SETTINGS = TrainingSettings(
    steps=7,
    batch_size=2,
    accumulate=2,
    learning_rate=1e-3,
    clip_norm=1.0,
    warmup_steps=2,
    workers=1,
    save_every=2,
    evaluate_every=4,
    ema_decay=0.9,
    augmentation=Augmentation(crop=64, rotate=True, noise=3.0),
    criterion=CriterionConfig(num_points=64),
)

data, runs = sys.argv[1], Path(sys.argv[2])
torch.set_num_threads(1)
unimask.presets.PRESETS["tiny"] = lambda classes: replace(
    TINY_SWIN, num_classes=classes, backbone=replace(TINY_SWIN.backbone, drop_path=0.3)
)
real_update, real_save = loop.update, torch.save
current = {"step": -1}


def kill_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def install_kill(out: Path, kill_step: int, moment: str) -> None:
    """Kill this process in the step `kill_step`."""

    def update(fabric, state, stream, step, settings):
        losses = real_update(fabric, state, stream, step, settings)
        current["step"] = step
        if step == kill_step and moment == "metrics":
            with (out / "metrics.csv").open("a") as torn:
                torn.write("6,1.")
        if step == kill_step and moment != "save":
            kill_process()
        return losses

    def save(state, path):
        real_save(state, path)
        if current["step"] >= kill_step and moment == "save":
            with open(path, "r+b") as stream:
                stream.truncate(1000)
            kill_process()

    loop.update, run_folder.torch.save = update, save


def run_in_fork(out: Path, kill_step: int | None = None, moment: str = "") -> int:
    """Train in a forked process, and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            if kill_step is not None:
                install_kill(out, kill_step, moment)
            resume = (out / "state.pt").exists()
            train(data, "tiny", out=out, resume=resume, settings=SETTINGS, device="cpu", quiet=True)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


codes = {"whole": [run_in_fork(runs / "whole")]}
for name in sys.argv[3:]:
    kill_step, where = name.split("-")
    killed = run_in_fork(runs / name, int(kill_step), where)
    codes[name] = [killed, run_in_fork(runs / name)]
print(json.dumps(codes))
