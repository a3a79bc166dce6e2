"""Rare classes: repeat factors and class weights."""

import json

import numpy as np
import pytest
import torch
from conftest import write_discs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from unimask.config import CriterionConfig
from unimask.datasets import open_dataset
from unimask.losses import Criterion
from unimask.training import train
from unimask.training.balance import class_weights, count_objects, repeat_factors, shuffled

COUNTS = arrays(
    np.int64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(0, 5)
)


@given(counts=COUNTS, threshold=st.floats(0, 1))
def test_repeat_factors_equal_those_of_lvis(counts, threshold):
    """Compare with the paper's rule in loops over images and classes."""
    factors = repeat_factors(counts, threshold)
    for image, factor in zip(counts, factors, strict=True):
        candidates = [1.0]
        for label in np.flatnonzero(image):
            share = sum(row[label] > 0 for row in counts) / len(counts)
            candidates.append(max(1.0, (threshold / share) ** 0.5))
        assert factor == pytest.approx(max(candidates))


def test_every_epoch_is_as_long_and_holds_the_factors_on_average():
    factors = np.array([1.0, 1.0, 1.0, 2.5])
    epochs = [shuffled(4, factors, seed=3, epoch=epoch) for epoch in range(4000)]
    assert {len(epoch) for epoch in epochs} == {4}
    shown = np.bincount(np.concatenate(epochs), minlength=4)
    assert shown[3] / shown[:3].mean() == pytest.approx(2.5, rel=0.05)
    assert (shuffled(4, factors, 3, 7) == epochs[7]).all()


def test_without_factors_each_image_is_shown_once():
    assert sorted(shuffled(9, None, 0, 5)) == list(range(9))


@given(counts=COUNTS)
def test_weights_keep_the_mean_over_objects(counts):
    weights, objects = class_weights(counts), counts.sum(0)
    assert (weights[objects == 0] == 1).all()
    present = objects > 0
    order = np.argsort(objects[present])
    assert (np.diff(weights[present][order]) <= 1e-12).all()  # rarer classes have larger weights
    inside = (weights > 0.1) & (weights < 10)
    if present.any() and inside.all():
        assert (weights * objects).sum() / objects.sum() == pytest.approx(1)


def test_class_weights_affect_only_the_class_loss():
    torch.manual_seed(0)
    from losses.test_criterion import CLASSES, FixedPoints, example

    from unimask.outputs import LayerPrediction, SegmenterOutput

    _, targets, layers = example(0, (2, 1))
    output = SegmenterOutput(*layers[-1], tuple(LayerPrediction(*x) for x in layers[:-1]))
    points, losses = FixedPoints(torch.rand(30, 2)), []
    weighted = [1.0] * CLASSES
    weighted[int(targets[0].labels[0])] = 3.0
    for weights in ([1.0] * CLASSES, weighted):
        criterion = Criterion(CLASSES, CriterionConfig())
        criterion.set_class_weights(weights)
        losses.append(criterion(output, targets, sampler=points))
    assert criterion.class_weights.tolist() == pytest.approx([*weighted, 0.1])
    assert losses[0].class_loss != losses[1].class_loss
    assert losses[0].mask_loss == losses[1].mask_loss and losses[0].dice_loss == losses[1].dice_loss


@pytest.fixture
def unequal(tmp_path):
    """Dataset with an object in one of five images."""
    data = write_discs(tmp_path / "discs", {"train": 5, "val": 2})
    for index in range(1, 5):
        Image.fromarray(np.zeros((96, 128), np.uint8)).save(data / f"train/masks/{index}.png")
    (data / "labels.json").write_text(json.dumps({"thing": "disc", "stuff": "ground"}))
    return data


def test_objects_are_counted_and_unreadable_images_are_skipped(unequal):
    (unequal / "train" / "images" / "4.png").write_bytes(b"")
    counts = count_objects(open_dataset(unequal, "train"))
    assert counts.shape == (5, 2) and counts[1:4].tolist() == [[0, 1]] * 3
    assert counts[0, 0] > 0 and counts[4].tolist() == [0, 0]


def test_rare_classes_are_repeated_and_weighted_also_after_resuming(unequal, tmp_path):
    settings_given = {"steps": 2, "size": 64, "batch_size": 2, "workers": 0, "precision": "float32"}
    settings_given |= {"repeat_rare": 1.0, "weigh_classes": True}
    out = tmp_path / "run"
    run = train(unequal, "mask2former-nano", out=out, device="cpu", quiet=True, **settings_given)
    assert run.finished
    counts = np.load(out / "classes.npy")
    assert repeat_factors(counts, 1.0).tolist() == pytest.approx([5**0.5, 1, 1, 1, 1])
    settings = json.loads((out / "settings.json").read_text())["settings"]
    assert settings["repeat_rare"] == 1.0 and settings["weigh_classes"]
