"""Known problems of other tools with evaluation: a test for each."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import draw_discs, tiny_checkpoint, with_description, write_discs
from outlines import INSIDE, SQUARE, coco_content, draw, write_json
from PIL import Image

import unimask
from unimask.checkpoints import write_huggingface
from unimask.datasets import open_dataset
from unimask.errors import DataError, SettingsError
from unimask.formats.run_length import RunLength
from unimask.inference import Predictor
from unimask.labels import LabelSet
from unimask.profiling.peak_memory import PeakMemory, read_memory_size
from unimask.training import loop

TASKS = ("panoptic", "instance", "semantic")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    """Small random network that predicts several segments."""
    folder = tmp_path_factory.mktemp("model")
    write_huggingface(folder, tiny_checkpoint(seed=4))
    return unimask.load(folder, device="cpu")


@pytest.mark.parametrize("task", TASKS)
def test_the_same_image_scores_alike_alone_and_in_a_batch(predictor, task):
    """Elsewhere padding counts as content: scores change with the other images of the batch."""
    sizes = [(60, 90), (90, 60), (33, 120), (60, 90), (64, 64)]
    images = [draw_discs(seed, size, count=4)[0] for seed, size in enumerate(sizes)]
    threshold = 0.05 if task == "instance" else None
    together = predictor.predict(images, task, threshold=threshold, batch_size=4)
    assert sum(len(result) for result in together) >= 5
    for image, result in zip(images, together, strict=True):
        alone = predictor.predict(image, task, threshold=threshold)
        assert result.size == image.shape[:2] and result.names == alone.names
        np.testing.assert_allclose(result.scores, alone.scores, atol=1e-3)
        for one, other in zip(result.segments, alone.segments, strict=True):
            assert (one.mask & other.mask).sum() > 0.999 * (one.mask | other.mask).sum()


def numbers_in(report):
    """Return all scores of a report except distances, which are in pixels."""
    tables = [report["metrics"], *report["per_class"].values()]
    return [value for table in tables for name, value in table.items() if name != "HD95"]


def as_results(dataset):
    """Return the things of COCO images as perfect results."""
    actual = []
    for image, sample in zip(dataset.image_ids, dataset, strict=True):
        for number, label in enumerate(sample.label_ids.tolist(), start=1):
            if dataset.labels.is_thing[label]:
                actual.append(
                    {
                        "image_id": image,
                        "category_id": next(
                            k for k, v in dataset.category_ids.items() if v == label
                        ),
                        "segmentation": RunLength.from_mask(sample.mask(number)).to_coco(),
                        "score": 1 / (1 + len(actual)),
                    }
                )
    return actual


def coco_folder(folder, images, names=("cat", "cap")):
    """Write images and one JSON beside them."""
    for name in images:
        draw(folder, name)
    write_json(folder / "labels.json", coco_content(images, names))
    return folder


def test_absent_classes_have_no_score(tmp_path):
    """Elsewhere it is a division by zero, or a 0 or a 100 in the mean."""
    images = {"a.png": [("cat", [SQUARE]), ("cap", [INSIDE])], "b.png": []}
    data = coco_folder(tmp_path / "data", images, ("cat", "cap", "bird"))
    write_json(tmp_path / "found.json", as_results(open_dataset(data)))
    reports = [unimask.evaluate(data, results=tmp_path / "found.json", split=None)]
    for to, kind in (("coco-panoptic", "annotations/panoptic_all.json"), ("semantic", "all/masks")):
        out = tmp_path / to
        unimask.convert(data, out, to=to)
        reports.append(unimask.evaluate(out, results=out / kind, split=None))
    names = ("AP", "PQ", "mIoU"), ("AP", "PQ", "IoU")
    assert [report["task"] for report in reports] == ["instance", "panoptic", "semantic"]
    for report, of_all, of_one in zip(reports, *names, strict=True):
        assert report["metrics"][of_all] == pytest.approx(100)
        assert report["per_class"]["bird"][of_one] is None
        assert json.loads(json.dumps(report))["per_class"]["cat"][of_one] == pytest.approx(100)


def numbered_maps(folder, values=(0, 1), channels=3):
    """Write images and maps of values that no file names."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(6):
        image, ids = draw_discs(number, (32, 40), count=3)
        image = np.concatenate([image] * 2, axis=-1)[..., :channels]
        np.save(folder / "images" / f"{number}.npy", image)
        Image.fromarray(np.array(values, np.uint8)[(ids > 0).astype(int)]).save(
            folder / "masks" / f"{number}.png"
        )
    return folder


@pytest.mark.parametrize("values", [(0, 1), (0, 255)])
def test_a_model_with_names_is_scored_on_maps_without_names(command, tmp_path, values):
    """Names that were passed to `train` need not be passed again to `evaluate`."""
    model, data = tmp_path / "model", numbered_maps(tmp_path / "data", values)
    labels = LabelSet(("background", "nerve"), (False, False))
    write_huggingface(model, with_description(tiny_checkpoint(), labels=labels))
    report = unimask.evaluate(data, model, task="semantic", split=None)
    assert list(report["per_class"]) == ["background", "nerve"]
    assert "no class names" in report["notes"][0]
    named = unimask.evaluate(data, model, task="semantic", split=None, names=labels.names)
    assert named["metrics"] == report["metrics"]
    assert named["notes"] == report["notes"][1:]
    arguments = ("evaluate", data, "--model", model, "--task", "semantic", "--split", "val")
    assert "nerve" in command(*arguments, "--names", "background,nerve")[1]
    with pytest.raises(DataError, match="only the data has vessel"):
        unimask.evaluate(data, model, task="semantic", names=("background", "vessel"))


def test_results_on_images_of_several_channels(command, tmp_path):
    data = numbered_maps(tmp_path / "data", channels=4)
    arguments = ("evaluate", data, "--results", data / "masks", "--split", "val")
    assert "100.00" in command(*arguments, "--channels", "4")[1]
    with pytest.raises(SettingsError, match="channels applies only to results"):
        unimask.evaluate(data, "nuclei", channels=4)


@pytest.mark.parametrize("task", TASKS)
def test_scores_lie_between_0_and_100(predictor, discs, tmp_path, task):
    """Elsewhere a PQ of 669, a wrong mIoU of 100 and an AP of -1 have been reported."""
    nothing = write_discs(tmp_path / "nothing", {"val": 1}, objects=0)
    for data in (discs, nothing):
        # Without objects, the meaning of values cannot be detected, so the format is given.
        report = unimask.evaluate(
            data,
            predictor,
            task=task,
            boundaries=task != "panoptic",
            format="instance ids",
        )
        values = numbers_in(report)
        assert any(value is not None for value in values)
        assert all(value is None or 0 <= value <= 100 for value in values)


def test_a_missing_panoptic_score_is_explained(predictor, discs):
    """Elsewhere a PQ of 0 may be caused by the data, the code or too short training."""
    strict = Predictor(predictor.network, with_threshold(predictor.description, 1.0), "strict")
    (note,) = unimask.evaluate(discs, strict, task="panoptic")["notes"]
    assert note.startswith(
        "the model predicts no segments: queries with a class score below 1 and masks"
    )
    permissive = Predictor(
        predictor.network, with_threshold(predictor.description, 0.0), "permissive"
    )
    assert not unimask.evaluate(discs, permissive, task="panoptic")["notes"]


def with_threshold(description, threshold):
    rules = replace(description.postprocessing, object_threshold=threshold, overlap_threshold=0.0)
    return replace(description, postprocessing=rules)


def test_objects_inside_of_others_are_both_found(tmp_path):
    """Elsewhere ground truth is one id map, so that one of the two always counts as an error."""
    nested = {"a.png": [("cat", [SQUARE]), ("cat", [INSIDE])]}
    data = coco_folder(tmp_path / "data", nested)
    write_json(tmp_path / "found.json", as_results(open_dataset(data)))
    scores = unimask.evaluate(data, results=tmp_path / "found.json", split=None)["metrics"]
    assert [scores["AP"], scores["AR100"]] == pytest.approx([100, 100])


def test_more_than_a_hundred_objects_are_counted(tmp_path):
    """Elsewhere further objects count as missed, and with another limit AP is -1."""
    corners = [(4.0 * x, 4.0 * y) for x in range(15) for y in range(10)]
    squares = [[(x, y), (x + 3, y), (x + 3, y + 3), (x, y + 3)] for x, y in corners]
    data = coco_folder(tmp_path / "data", {"a.png": [("cat", [square]) for square in squares]})
    write_json(tmp_path / "found.json", as_results(open_dataset(data)))
    for maximum, actual in ((100, 100), (300, 150), (1000, 150)):
        scores = unimask.evaluate(
            data, results=tmp_path / "found.json", split=None, max_detections=maximum
        )["metrics"]
        assert scores[f"AR{maximum}"] == pytest.approx(100 * actual / 150)
        reached = np.floor(100 * actual / 150) + 1  # of 101 recalls, all at full precision
        assert scores["AP"] == pytest.approx(100 * reached / 101)


@pytest.mark.parametrize("task", TASKS)
def test_ten_times_the_images_take_no_more_memory(predictor, tmp_path, task):
    """Elsewhere every mask is retained: training fits in memory, and validation does not."""
    data = tmp_path / "data"
    image, ids = draw_discs(0, (300, 400), count=8)
    for kind, pixels in (("images", image), ("masks", ids)):
        (data / kind).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(pixels).save(data / kind / f"{number:02}.png")
    memory = {}

    def record_memory(done, total):
        memory[done] = read_memory_size("VmRSS")

    unimask.evaluate(data, predictor, task=task, split=None, progress=record_memory)
    assert len(memory) == 20
    assert (
        memory[20] < 1.1 * memory[2] and memory[20] - memory[2] < 8e6
    )  # an image's masks are 1 MB


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_validation_takes_no_more_memory_than_training(tmp_path, monkeypatch):
    """Elsewhere a run that fits in memory fails at its first validation."""
    pytest.importorskip("lightning_fabric")
    data, peaks = write_discs(tmp_path / "data", {"train": 4, "val": 2}), {}

    def measured(name):
        real = getattr(loop, name)

        def call(*args):
            with PeakMemory(torch.device("cpu")) as memory:
                result = real(*args)
            peaks[name] = memory.peak
            return result

        return call

    for name in ("update", "validate"):
        monkeypatch.setattr(loop, name, measured(name))
    unimask.train(
        data, "mask2former-nano", out=tmp_path / "run", device="cpu", quiet=True,
        steps=1, size=128, batch_size=4, workers=0, precision="float32",
    )  # fmt: skip
    assert peaks["validate"] <= 1.02 * peaks["update"]
