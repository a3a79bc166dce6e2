"""Every format of labels trains by the one line."""

import importlib
import json
from dataclasses import replace

import pytest
from conftest import TINY_RESNET, described, tiny_checkpoint
from outlines import WRITERS

import unimask
from unimask.checkpoints import write_huggingface
from unimask.config import CriterionConfig
from unimask.datasets import open_dataset
from unimask.datasets.transforms import Augmentation
from unimask.errors import DataError
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
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


def test_weights_of_things_keep_their_head_and_need_no_background(tmp_path, drawings):
    """A model of COCO's 80 things goes on with COCO's instances, and is judged by them."""
    labels = LabelSet(("cat", "cap"), (True, True), category_ids=(1, 2))
    start = described(tiny_checkpoint(), labels=labels, tasks=("instance",))
    write_huggingface(tmp_path / "start", start)
    data = WRITERS["COCO instances"](tmp_path / "data")
    model, out = str(tmp_path / "start"), tmp_path / "run"
    settings = replace(SETTINGS, weigh_classes=True)
    run = train(data, model, task="instance", out=out, settings=settings, device="cpu", quiet=True)
    assert run.predictor.labels == ("cat", "cap")
    assert run.predictor.description.labels.category_ids == (7, 17)  # the data's
    scores = unimask.evaluate(data, run.predictor, task="instance", split="train")
    assert set(scores["per_class"]) == {"cat", "cap"}
    with pytest.raises(DataError, match="must be the same"):
        unimask.evaluate(data, replace_tasks(run.predictor), task="panoptic", split="train")


def replace_tasks(predictor):
    """Give the same model, which claims to do everything."""
    description = replace(predictor.description, tasks=("panoptic", "instance", "semantic"))
    return unimask.Predictor(predictor.network, description, predictor.name)


def test_results_are_matched_by_the_numbers_of_the_json(tmp_path):
    """The truth as COCO results, with the file's own ids of images and categories, is perfect."""
    data = WRITERS["COCO instances"](tmp_path / "data")
    (truth,) = data.rglob("*train*.json")
    content = json.loads(truth.read_text())
    found = [
        {key: entry[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.9}
        for entry in content["annotations"]
    ]
    dataset = open_dataset(data, "train")
    for entry in found:
        place = dataset.image_ids.index(entry["image_id"])
        sample, label = dataset[place], dataset.category_ids[entry["category_id"]]
        numbers = [n for n, x in enumerate(sample.label_ids.tolist(), 1) if x == label]
        masks = [RunLength.from_mask(sample.mask(number)) for number in numbers]
        drawn = RunLength.from_coco(pycocotools_mask(entry["segmentation"], sample.size))
        entry["segmentation"] = next(mask for mask in masks if mask == drawn).to_coco()
    (tmp_path / "results.json").write_text(json.dumps(found))
    scores = unimask.evaluate(data, results=tmp_path / "results.json", split="train")
    assert scores["metrics"]["AP"] == pytest.approx(100)


def pycocotools_mask(polygons, size):
    """Draw one object as COCO's own code does."""
    mask = importlib.import_module("pycocotools.mask")
    return mask.merge(mask.frPyObjects(polygons, *size))
