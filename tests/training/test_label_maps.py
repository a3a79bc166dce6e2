"""Each layout of label maps trains with only its path given."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY_RESNET
from map_layouts import LAYOUTS

import unimask
from unimask.config import CriterionConfig
from unimask.datasets.transforms import Augmentation
from unimask.errors import TaskError
from unimask.training import TrainingSettings

pytest.importorskip("lightning_fabric")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

SETTINGS = TrainingSettings(
    steps=2,
    batch_size=2,
    warmup_steps=1,
    workers=0,
    augmentation=Augmentation(crop=32),
    criterion=CriterionConfig(num_points=64),
)


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch):
    monkeypatch.setitem(
        unimask.presets.PRESETS,
        "tiny",
        lambda num_classes: replace(TINY_RESNET, num_classes=num_classes),
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_trains(tmp_path, capsys, layout):
    folder = LAYOUTS[layout](tmp_path / "data")
    run = unimask.train(folder, "tiny", settings=SETTINGS, out=tmp_path / "run", device="cpu")
    assert run.finished
    with (tmp_path / "run" / "metrics.csv").open() as stream:
        losses = [float(row["loss"]) for row in csv.DictReader(stream)]
    assert losses and np.isfinite(losses).all() and min(losses) > 0
    printed = capsys.readouterr().out
    assert f"{folder.name}: " in printed and " classes, " in printed


def test_labels_without_objects_refuse_panoptic(tmp_path):
    folder = LAYOUTS["segnet_streets"](tmp_path / "data")
    with pytest.raises(TaskError, match="for semantic alone"):
        unimask.train(folder, "tiny", task="panoptic", settings=SETTINGS, device="cpu", quiet=True)
