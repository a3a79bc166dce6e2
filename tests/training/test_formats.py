"""Every format of labels trains by the one line."""

from dataclasses import replace

import pytest
from conftest import TINY_RESNET
from outlines import WRITERS

import unimask
from unimask.config import CriterionConfig
from unimask.datasets.transforms import Augmentation
from unimask.training import TrainingSettings, train

pytest.importorskip("lightning_fabric")
pytest.importorskip("pycocotools")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

SETTINGS = TrainingSettings(
    steps=2,
    batch_size=5,
    warmup_steps=1,
    workers=0,
    evaluate_every=2,
    augmentation=Augmentation(crop=64),
    criterion=CriterionConfig(num_points=64),
)


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_of_labels_trains(name, tmp_path, monkeypatch):
    monkeypatch.setitem(
        unimask.presets.PRESETS,
        "tiny",
        lambda num_classes: replace(TINY_RESNET, num_classes=num_classes),
    )
    data = WRITERS[name](tmp_path / "data")
    task = "instance" if name == "COCO instances" else "panoptic"
    run = train(
        data, "tiny", task=task, out=tmp_path / "run", settings=SETTINGS, device="cpu", quiet=True
    )
    assert run.finished and set(run.predictor.labels) == {"cat", "cap", "background"}
