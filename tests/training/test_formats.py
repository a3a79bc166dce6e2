"""Every label format trains with the same call."""

import importlib
import json
from dataclasses import replace

import pytest
from conftest import TINY_RESNET, tiny_checkpoint, with_description
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
    """A model of COCO's 80 things is fine-tuned and evaluated on COCO instances."""
    labels = LabelSet(("cat", "cap"), (True, True), category_ids=(1, 2))
    start = with_description(tiny_checkpoint(), labels=labels, tasks=("instance",))
    write_huggingface(tmp_path / "start", start)
    data = WRITERS["COCO instances"](tmp_path / "data")
    model, out = str(tmp_path / "start"), tmp_path / "run"
    settings = replace(SETTINGS, weigh_classes=True)
    run = train(data, model, task="instance", out=out, settings=settings, device="cpu", quiet=True)
    assert run.predictor.labels == ("cat", "cap")
    assert run.predictor.description.labels.category_ids == (7, 17)  # those of the data
    scores = unimask.evaluate(data, run.predictor, task="instance", split="train")
    assert set(scores["per_class"]) == {"cat", "cap"}
    with pytest.raises(DataError, match="must be the same"):
        unimask.evaluate(data, replace_tasks(run.predictor), task="panoptic", split="train")


def replace_tasks(predictor):
    """Return the same model with all tasks."""
    description = replace(predictor.description, tasks=("panoptic", "instance", "semantic"))
    return unimask.Predictor(predictor.network, description, predictor.name)


def test_results_are_matched_by_the_numbers_of_the_json(tmp_path):
    """Ground truth as COCO results, with the ids of the file, scores 100."""
    data = WRITERS["COCO instances"](tmp_path / "data")
    (truth,) = data.rglob("*train*.json")
    content = json.loads(truth.read_text())
    results = [
        {key: entry[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.9}
        for entry in content["annotations"]
    ]
    dataset = open_dataset(data, "train")
    for entry in results:
        index = dataset.image_ids.index(entry["image_id"])
        sample, label = dataset[index], dataset.category_ids[entry["category_id"]]
        numbers = [n for n, x in enumerate(sample.label_ids.tolist(), 1) if x == label]
        masks = [RunLength.from_mask(sample.mask(number)) for number in numbers]
        drawn = RunLength.from_coco(pycocotools_mask(entry["segmentation"], sample.size))
        entry["segmentation"] = next(mask for mask in masks if mask == drawn).to_coco()
    (tmp_path / "results.json").write_text(json.dumps(results))
    scores = unimask.evaluate(data, results=tmp_path / "results.json", split="train")
    assert scores["metrics"]["AP"] == pytest.approx(100)


def pycocotools_mask(polygons, size):
    """Rasterise one object with pycocotools."""
    mask = importlib.import_module("pycocotools.mask")
    return mask.merge(mask.frPyObjects(polygons, *size))
