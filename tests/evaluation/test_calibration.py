"""Calibration in evaluation reports, against what is counted by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import unimask
from unimask.datasets import Sample, open_dataset
from unimask.evaluation.calibration import CalibrationCollector, calibration_report
from unimask.evaluation.scorers import build_scorer
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment

LABELS = LabelSet(("cat", "dog", "ground"), (True, True, False))
SIZE = (4, 6)


class Fixed:
    """A confidence that was computed before."""

    def __init__(self, values):
        self.values = values

    def compute(self, ids):
        return self.values


def sample(label_ids, ids, *, crowds=(), ignored=None):
    crowd = np.isin(np.arange(len(label_ids)), crowds)
    return Sample(
        np.zeros((*SIZE, 3), np.uint8),
        np.array(ids, np.int32)[None],
        np.array(label_ids, np.int64),
        crowd,
        ignored,
        Path("a.png"),
    )


def result(task, parts, confidence=None):
    segments = tuple(
        Segment.from_rle(LABELS, label, RunLength.from_mask(mask), id=number, score=score)
        for number, label, mask, score in parts
    )
    source = None if confidence is None else Fixed(confidence)
    return Result(task, SIZE, LABELS, segments, confidence_source=source)


@pytest.mark.parametrize("task", ["semantic", "panoptic"])
def test_pixels_with_ground_truth_are_compared(task):
    """Unlabelled, crowded and unassigned pixels are not."""
    metrics = pytest.importorskip("torchmetrics.classification")
    rng = np.random.default_rng(0)
    confidence = rng.random(SIZE, np.float32)
    ids = np.repeat([[1, 1, 2, 2, 3, 0]], SIZE[0], 0)
    ignored = np.zeros(SIZE, bool)
    ignored[0] = True
    left = np.zeros(SIZE, bool)
    left[:, :3] = True
    right = ~left
    right[3] = False
    score = None if task == "semantic" else 0.5
    numbers = (1, 3) if task == "semantic" else (1, 2)
    found = result(task, ((numbers[0], 0, left, score), (numbers[1], 2, right, score)), confidence)
    collector = CalibrationCollector(task, build_scorer(task, LABELS))
    collector.add(found, sample([0, 2, 1], ids, crowds=(2,), ignored=ignored))
    counted, correct = [], []
    for y in range(1, SIZE[0]):
        for x in range(4):
            predicted = 0 if x < 3 else 2 if y < 3 else None
            if predicted is not None:
                counted.append(confidence[y, x])
                correct.append(predicted == (0, 0, 2, 2)[x])
    calibration = collector.calibration()
    assert calibration.counts.sum() == len(counted)
    assert calibration.correct.sum() == sum(correct)
    theirs = metrics.BinaryCalibrationError(n_bins=15)
    # Theirs takes probabilities of "correct".
    theirs.update(torch.tensor(np.array(counted)), torch.tensor(correct).long())
    assert calibration.compute()["ECE"] == pytest.approx(100 * float(theirs.compute()), abs=1e-3)


@pytest.mark.parametrize("ap", ["coco", "cityscapes"])
def test_instances_are_compared_at_an_iou_of_one_half(ap):
    size = (30, 60)
    masks = np.zeros((3, *size), bool)
    masks[0, :, :20] = masks[1, :, 20:40] = masks[2, :, 40:] = True
    ids = masks[0] * 1 + masks[1] * 2
    truth = replace(sample([0, 1], np.zeros(SIZE)), image=np.zeros((*size, 3), np.uint8),
                    id_maps=ids[None].astype(np.int32))  # fmt: skip
    parts = ((1, 0, masks[0], 0.9), (2, 0, masks[1], 0.8), (3, 0, masks[2], 0.3))
    segments = tuple(
        Segment.from_rle(LABELS, label, RunLength.from_mask(mask), id=number, score=score)
        for number, label, mask, score in parts
    )
    found = Result("instance", size, LABELS, segments)
    scorer = build_scorer("instance", LABELS, ap=ap)
    scorer.add(found, truth)
    collector = CalibrationCollector("instance", scorer)
    collector.add(found, truth)
    report = calibration_report(collector.calibration(), "instance")
    rows = [(row["confidence"], row["precision"]) for row in report["bins"] if row["count"]]
    assert sorted(rows) == [pytest.approx(pair) for pair in ((30, 0), (80, 0), (90, 100))]
    assert report["ECE"] == pytest.approx((10 + 80 + 30) / 3)
    assert report["MCE"] == pytest.approx(80)


def test_results_without_confidence_have_no_calibration():
    for task in ("semantic", "panoptic", "instance"):
        scorer = build_scorer(task, LABELS)
        collector = CalibrationCollector(task, scorer)
        mask = np.ones(SIZE, bool)
        found = result(task, ((1, 0, mask, 1.0 if task == "instance" else None),))
        truth = sample([0], np.ones(SIZE))
        scorer.add(found, truth)
        collector.add(found, truth)
        assert collector.calibration() is None
        assert calibration_report(None, task) == {"ECE": None, "MCE": None, "bins": []}


@pytest.mark.parametrize("task", ["semantic", "panoptic", "instance"])
def test_reports_hold_the_calibration(task, tiny_model, discs, tmp_path):
    report = unimask.evaluate(discs, tiny_model, task=task, split="val")
    assert "calibration" not in report
    path, page = tmp_path / "scores.json", tmp_path / "scores.html"
    again = unimask.evaluate(discs, tiny_model, task=task, split="val", json=path, page=page)
    assert again["metrics"] == report["metrics"]
    calibration = json.loads(path.read_text())["calibration"]
    assert calibration == again["calibration"]
    assert calibration.keys() == {"ECE", "MCE", "bins"}
    if calibration["ECE"] is None:
        return
    assert len(calibration["bins"]) == 15
    assert 0 <= calibration["ECE"] <= calibration["MCE"] <= 100
    assert "Expected calibration error (ECE)" in page.read_text()
    if task == "semantic":
        dataset, model = open_dataset(discs, "val"), unimask.load(tiny_model)
        errors = CalibrationCollector(task, build_scorer(task, dataset.labels))
        for item in (dataset[index] for index in range(len(dataset))):
            errors.add(model.predict(item.image, task, window=(0, 255)), item)
        assert calibration["ECE"] == pytest.approx(errors.pixels.compute()["ECE"], abs=0.01)
