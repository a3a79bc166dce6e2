"""A run that kills itself, as no handler can catch; see test_survival.py.

Arguments: data, folder of the run, the step in which it dies (-1 for never), where in it: "step"
after the update, "save" in the middle of writing the state, or "metrics" after a torn line.
"""

import os
import signal
import sys
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

data, out, death, where = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.set_num_threads(1)
unimask.presets.PRESETS["tiny"] = lambda classes: replace(
    TINY_SWIN, num_classes=classes, backbone=replace(TINY_SWIN.backbone, drop_path=0.3)
)
real_update, real_save = loop.update, torch.save
now = {"step": -1}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def update(fabric, trainee, stream, step, settings):
    losses = real_update(fabric, trainee, stream, step, settings)
    now["step"] = step
    if step == death and where == "metrics":
        with (out / "metrics.csv").open("a") as torn:
            torn.write("6,1.")
    if step == death and where != "save":
        die()
    return losses


def save(state, path):
    real_save(state, path)
    if now["step"] >= death >= 0 and where == "save":
        with open(path, "r+b") as stream:
            stream.truncate(1000)
        die()


loop.update, run_folder.torch.save = update, save
resume = (out / "state.pt").exists()
train(data, "tiny", out=out, resume=resume, settings=SETTINGS, device="cpu", quiet=True)
