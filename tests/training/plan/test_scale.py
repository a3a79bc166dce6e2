"""Prediction size is reduced to the training crops if objects are larger than crops."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY_PROPOSALS, TINY_RESNET, tiny_checkpoint, with_description
from PIL import Image

import unimask
from unimask.checkpoints import write_huggingface
from unimask.config import CriterionConfig, PreprocessingConfig
from unimask.datasets import open_dataset
from unimask.training import TrainingSettings
from unimask.training.plan.facts import PredictionSizeChanged
from unimask.training.plan.scale import choose_scale, region_areas, typical_object_side

SQUARE = replace(TrainingSettings(), augmentation=replace(TrainingSettings().augmentation, crop=64))
FEW_POINTS = CriterionConfig(num_points=1024, matching="cells", dice_smoothing=1 / 12544)
LARGER = PreprocessingConfig(shortest_edge=128, longest_edge=256)


def write_maps(folder, *images):
    """Write a folder of label maps."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number, values in enumerate(images):
        Image.fromarray(np.full((*values.shape, 3), 90, np.uint8)).save(
            folder / "images" / f"{number}.png"
        )
        Image.fromarray(values).save(folder / "masks" / f"{number}.png")
    return folder


def halves() -> np.ndarray:
    values = np.zeros((100, 120), np.uint8)
    values[:, 60:], values[:10, :10] = 1, 2
    return values


def spots() -> np.ndarray:
    values = np.zeros((100, 120), np.uint8)
    values[5::20, 5::20] = values[6::20, 5::20] = 1
    return values


def test_half_of_the_thing_pixels_lie_in_larger_things(discs):
    dataset = open_dataset(discs, "train")
    sides = []
    for sample in dataset:
        things = np.flatnonzero(np.array(dataset.labels.is_thing)[sample.label_ids]) + 1
        areas = np.array([(sample.id_maps == thing).sum() for thing in things])
        sides += [(np.sqrt(area) / 96, area) for area in areas]
    sides.sort()
    half = np.cumsum([area for _, area in sides]) >= sum(area for _, area in sides) / 2
    assert typical_object_side(dataset) == pytest.approx(sides[int(half.argmax())][0])


def test_stuff_counts_by_its_regions(tmp_path):
    dataset = open_dataset(write_maps(tmp_path, halves()), None, names=("road", "grass", "pole"))
    assert sorted(area for _, area in region_areas(dataset[0])) == [100, 5900, 6000]
    assert typical_object_side(dataset) == pytest.approx(np.sqrt(5900) / 100, abs=0.01)


def test_the_background_of_two_classes_does_not_count(tmp_path):
    dataset = open_dataset(write_maps(tmp_path, spots()), None, names=("ground", "crack"))
    assert typical_object_side(dataset) == pytest.approx(np.sqrt(2) / 100)


def test_object_side_is_relative_to_the_image_size(tmp_path):
    grown = np.kron(halves(), np.ones((8, 8), np.uint8))
    dataset = open_dataset(write_maps(tmp_path, grown), None, names=("road", "grass", "pole"))
    assert typical_object_side(dataset) == pytest.approx(np.sqrt(5900) / 100, abs=0.02)


def choose(dataset, own, *, new_head=True, config=TINY_RESNET, **given):
    """Return the chosen settings and the fact for crops of 64 pixels."""
    model = replace(tiny_checkpoint(config).description, preprocessing=own)
    requested = replace(TrainingSettings(), **given)
    return choose_scale(dataset, model, 64, requested, new_head=new_head)


def test_large_things_lead_to_smaller_images(tmp_path):
    dataset = open_dataset(write_maps(tmp_path, halves()), None, names=("road", "grass", "pole"))
    chosen, change = choose(dataset, LARGER)
    smaller = replace(LARGER, shortest_edge=64, longest_edge=128)
    assert chosen == {"preprocessing": smaller, "criterion": FEW_POINTS}
    assert change == PredictionSizeChanged(old=128, new=64)
    for same in (replace(LARGER, shortest_edge=64), replace(LARGER, squash=(128, 128))):
        assert choose(dataset, same) == ({"criterion": FEW_POINTS}, None)
    assert choose(dataset, LARGER, new_head=False) == ({"criterion": FEW_POINTS}, None)
    assert choose(dataset, LARGER, preprocessing=LARGER) == ({"criterion": FEW_POINTS}, None)


def test_small_things_keep_the_scale(tmp_path, discs):
    assert choose(open_dataset(discs, "train"), LARGER) == ({"criterion": FEW_POINTS}, None)
    spotted = open_dataset(write_maps(tmp_path, spots()), None, names=("ground", "crack"))
    assert choose(spotted, LARGER) == ({"criterion": FEW_POINTS}, None)


@pytest.mark.parametrize(
    ("image", "edge", "other", "weight"),
    [
        (halves, 64, False, 0.1),
        (halves, 128, False, 0.4),  # queries of four crops
        (halves, 512, False, 0.4),
        (halves, 96, False, 0.225),
        (halves, 128, True, 0.1),  # images become as small as crops
        (spots, 64, False, 0.4),
        (spots, 64, True, 0.4),
    ],
)
def test_no_object_weight_depends_on_the_number_of_uncertain_queries(
    tmp_path, image, edge, other, weight
):
    names = ("road", "grass", "pole")[: image().max() + 1]
    dataset = open_dataset(write_maps(tmp_path, image()), None, names=names)
    preprocessing = replace(LARGER, shortest_edge=edge)
    chosen, _ = choose(dataset, preprocessing, new_head=other, config=TINY_PROPOSALS)
    assert chosen["criterion"] == replace(FEW_POINTS, no_object_weight=pytest.approx(weight))
    given = {"criterion": CriterionConfig(), "config": TINY_PROPOSALS, "new_head": other}
    assert "criterion" not in choose(dataset, preprocessing, **given)[0]


def test_unreadable_images_are_skipped(tmp_path):
    folder = write_maps(tmp_path, halves(), halves())
    dataset = open_dataset(folder, None, names=("road", "grass", "pole"))
    (folder / "images" / "0.png").write_bytes(b"no image")
    assert typical_object_side(dataset) > 0.5
    (folder / "images" / "1.png").write_bytes(b"no image")
    assert typical_object_side(dataset) == 0


@pytest.mark.parametrize(("options", "edge"), [({}, 64), ({"settings": SQUARE}, 128)])
def test_resumed_runs_keep_the_chosen_settings(tmp_path, options, edge, capsys):
    pytest.importorskip("lightning_fabric")
    data = write_maps(tmp_path / "data", *[halves()] * 8)
    model = with_description(tiny_checkpoint(TINY_RESNET), preprocessing=LARGER)
    write_huggingface(tmp_path / "model", model)
    changes = {"size": 64} if not options else {}
    out = tmp_path / "run"
    for resume in (False, True):
        unimask.train(
            data, str(tmp_path / "model"), names=("road", "grass", "pole"), out=out,
            device="cpu", resume=resume, **({} if resume else {"steps": 1, "workers": 0}),
            **({} if resume else changes), **({} if resume else options),
        )  # fmt: skip
        assert unimask.load(out).description.preprocessing.shortest_edge == edge
    assert ("instead of 128" in capsys.readouterr().out) == (edge == 64)
    saved = json.loads((out / "settings.json").read_text())
    assert edge == 128 or "64" in json.dumps(saved)
