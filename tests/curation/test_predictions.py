"""Predictions converted to datasets, and round trips as ground truth."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import unimask
from unimask.curation import check, write_predictions
from unimask.curation.predictions import preferred_task
from unimask.datasets import open_dataset
from unimask.errors import DataError, OutputError, SettingsError
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment

LABELS = LabelSet(("cell", "fibre", "road"), (True, True, False), ((9, 8, 7), None, None))
FORMATS = ("coco", "coco-panoptic", "semantic", "yolo", "labelme", "cvat", "geojson")
SIZE = (60, 80)


def draw_results(folder, task="instance", count=3, *, objects=4, size=SIZE, seed=0):
    """Write images, and return random results of them; instances may overlap."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        path = folder / f"{number}.png"
        image = random.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(image).save(path)
        yield Result(task, size, LABELS, tuple(draw_segments(task, objects, size, random)),
                     path=path, image=image)  # fmt: skip


def draw_segments(task, objects, size, random):
    taken = np.zeros(size, bool)
    rows, columns = np.indices(size)
    for number in range(1, objects + 1):
        label = int(random.integers(0, 2 if task == "instance" else 3))
        label = number % 3 if task == "semantic" else label
        centre = random.uniform(0, size)
        radius = random.uniform(2, max(2, max(size) / 4))
        mask = np.hypot(rows - centre[0], columns - centre[1]) < radius
        mask &= np.hypot(rows - centre[0], columns - centre[1]) > random.choice([0, radius / 2])
        if task != "instance":
            mask &= ~taken
            taken |= mask
        if mask.any() and not (task == "semantic" and number > 3):
            yield Segment.from_rle(
                LABELS, label, RunLength.from_mask(mask), id=number,
                score=None if task == "semantic" else round(random.uniform(0.5, 1), 6),
            )  # fmt: skip


def named_masks(sample, labels):
    """Return class name and mask of each object of a thing class."""
    return sorted(
        (labels.names[label], sample.mask(number).tobytes())
        for number, label in enumerate(sample.label_ids, start=1)
        if labels.is_thing[label]
    )


def predicted_masks(result):
    return sorted((s.label, s.mask.tobytes()) for s in result.segments if s.is_thing)


def test_coco_keeps_masks_classes_and_scores(tmp_path):
    results = list(draw_results(tmp_path / "in"))
    written = write_predictions(results, tmp_path / "out", to="coco")
    assert written.images == {"all": 3} and written.notes == []
    back = open_dataset(tmp_path / "out")
    assert back.labels.names == ("cell", "fibre", "background")
    for sample, result in zip(back, results, strict=True):
        assert (sample.image == result.image).all()
        assert named_masks(sample, back.labels) == predicted_masks(result)
    content = json.loads((tmp_path / "out" / "annotations" / "instances_all.json").read_text())
    scores = [a["score"] for a in content["annotations"]]
    assert sorted(scores) == sorted(s.score for r in results for s in r.segments)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), task=st.sampled_from(["instance", "panoptic"]))
def test_any_coco_predictions_round_trip(tmp_path_factory, seed, task):
    folder = tmp_path_factory.mktemp("data")
    size = tuple(np.random.default_rng(seed).integers(3, 30, 2).tolist())
    results = list(draw_results(folder / "in", task, 2, size=size, seed=seed))
    if not any(s.is_thing for r in results for s in r.segments):
        return
    write_predictions(results, folder / "out", to="coco")
    back = open_dataset(folder / "out")
    for sample, result in zip(back, results, strict=True):
        assert named_masks(sample, back.labels) == predicted_masks(result)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_panoptic_predictions_round_trip(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("data")
    size = tuple(np.random.default_rng(seed).integers(3, 30, 2).tolist())
    results = list(draw_results(folder / "in", "panoptic", 2, size=size, seed=seed))
    if not any(result.segments for result in results):
        return
    write_predictions(results, folder / "out", to="coco-panoptic")
    back = open_dataset(folder / "out")
    assert back.labels == LABELS
    for sample, result in zip(back, results, strict=True):
        assert named_masks(sample, LABELS) == predicted_masks(result)
        void = result.segmentation == 0
        assert (void == (np.zeros(size, bool) if sample.ignored is None else sample.ignored)).all()
        road = np.any([s.mask for s in result.segments if s.label == "road"] or [void & False], 0)
        roads = [n for n, label in enumerate(sample.label_ids, start=1) if label == 2]
        assert (np.isin(sample.front, roads) == road).all()
    content = json.loads((folder / "out/annotations/panoptic_all.json").read_text())
    info = [segment for a in content["annotations"] for segment in a["segments_info"]]
    assert all("score" in segment for segment in info if segment["category_id"] != 3)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_semantic_predictions_round_trip(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("data")
    size = tuple(np.random.default_rng(seed).integers(3, 30, 2).tolist())
    results = list(draw_results(folder / "in", "semantic", 2, size=size, seed=seed))
    write_predictions(results, folder / "out", to="semantic")
    for result in results:
        with Image.open(folder / "out/all/masks" / result.path.name) as image:
            assert (
                np.asarray(image).astype(np.uint8) == result.segmentation.astype(np.uint8)
            ).all()


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_instances_of_one_class_round_trip_as_ids(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("data")
    labels = LabelSet(("cell", "background"), (True, False))
    size = tuple(np.random.default_rng(seed).integers(3, 30, 2).tolist())
    results = [
        replace(
            result, labels=labels,
            segments=tuple(replace(s, label_id=0, label="cell") for s in result.segments
                           if s.is_thing),
        )
        for result in draw_results(folder / "in", "panoptic", 2, size=size, seed=seed)
    ]  # fmt: skip
    write_predictions(results, folder / "out", to="instance-ids")
    for result in results:
        with Image.open(folder / "out/all/masks" / result.path.name) as image:
            ids = np.asarray(image)
        found = sorted((ids == number).tobytes() for number in np.unique(ids[ids > 0]))
        assert found == sorted(s.mask.tobytes() for s in result.segments)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("task", ["instance", "panoptic", "semantic"])
def test_every_format_is_checked_and_read(tmp_path, to, task):
    if task == "semantic" and to in ("coco", "yolo"):
        with pytest.raises(DataError, match="all classes are stuff"):
            write_predictions(draw_results(tmp_path / "in", task), tmp_path / "out", to=to)
        assert not (tmp_path / "out").exists()
        return
    results = list(draw_results(tmp_path / "in", task, 6))
    write_predictions(results, tmp_path / "out", to=to)
    report = check(tmp_path / "out")
    severe = [finding.message for finding in report.findings if finding.severe]
    assert not [text for text in severe if "nothing" not in text], severe
    back = open_dataset(tmp_path / "out")
    assert len(back) == 6 and {path.name for path in back.paths} == {f"{i}.png" for i in range(6)}
    for sample, result in zip(back, results, strict=True):
        assert (sample.image == result.image).all()


@pytest.mark.parametrize("to", ["labelme", "cvat", "geojson", "yolo"])
def test_polygons_are_close(tmp_path, to):
    results = list(draw_results(tmp_path / "in", "instance", 2, size=(200, 300), objects=3))
    write_predictions(results, tmp_path / "out", to=to)
    back = open_dataset(tmp_path / "out")
    for sample, result in zip(back, results, strict=True):
        masks = [sample.mask(n) for n in range(1, len(sample.label_ids) + 1)]
        for segment in result.segments:
            ious = [(segment.mask & m).sum() / (segment.mask | m).sum() for m in masks]
            assert max(ious) >= (0.99 if segment.area > 100 else 0.95)


def test_the_higher_score_is_in_front(tmp_path):
    rows, columns = np.indices(SIZE)
    small, large = np.hypot(rows - 30, columns - 30) < 8, np.hypot(rows - 30, columns - 36) < 20
    pair = ((0, small, 0.6), (1, large, 0.9))
    segments = tuple(
        Segment.from_rle(LABELS, label, RunLength.from_mask(mask), id=n, score=score)
        for n, (label, mask, score) in enumerate(pair, start=1)
    )
    result = Result("instance", SIZE, LABELS, segments, image=np.zeros((*SIZE, 3), np.uint8))
    write_predictions([result], tmp_path / "out", to="semantic")
    with Image.open(tmp_path / "out/all/masks/image.png") as image:
        values = np.asarray(image)
    assert values[30, 30] == 1 and values[0, 0] == 2  # background, which instances imply


def test_images_of_equal_names_stay_apart(tmp_path):
    results = [*draw_results(tmp_path / "a", count=2), *draw_results(tmp_path / "b", count=2)]
    write_predictions(results, tmp_path / "out", to="labelme")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{stem}.{suffix}" for stem in ("0", "1", "b_0", "b_1") for suffix in ("png", "json")
    }


def test_images_are_linked_if_requested(tmp_path):
    results = list(draw_results(tmp_path / "in", count=1))
    write_predictions(results, tmp_path / "out", to="coco", link=True)
    assert os.path.islink(tmp_path / "out/all/0.png")
    with pytest.raises(SettingsError, match="cannot be linked"):
        write_predictions(
            [replace(results[0], path=None)], tmp_path / "other", to="coco", link=True
        )
    assert not (tmp_path / "other").exists()


def test_images_that_are_no_files_are_written_as_png(tmp_path):
    (result,) = draw_results(tmp_path / "in", count=1)
    remote = replace(result, path=Path("https://example.org/x.jpg"))
    write_predictions([remote, replace(result, path=None)], tmp_path / "out", to="labelme")
    with Image.open(tmp_path / "out/x.png") as image:
        assert (np.asarray(image) == result.image).all()
    assert (tmp_path / "out/image.json").exists()


def test_failures_leave_no_files(tmp_path):
    def interrupted():
        yield next(draw_results(tmp_path / "in"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(interrupted(), tmp_path / "out", to="coco")
    with pytest.raises(DataError, match="no results"):
        write_predictions([], tmp_path / "out", to="coco")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.json").write_text("{}")
    with pytest.raises(OutputError, match="not empty"):
        write_predictions(draw_results(tmp_path / "in"), tmp_path / "out", to="coco")


def test_an_image_with_too_many_overlaps_does_not_end_the_run(tmp_path, monkeypatch):
    """One crowded image among thousands costs its own labels only."""
    full = RunLength.from_mask(np.ones(SIZE, bool))
    segments = [Segment.from_rle(LABELS, 0, full, id=n, score=0.9) for n in (1, 2, 3, 4)]
    first, second, third = draw_results(tmp_path / "in", objects=1)
    crowded = replace(second, segments=tuple(segments))
    monkeypatch.setattr("unimask.datasets.objects.layers.MAX_LAYER_VALUES", 3 * SIZE[0] * SIZE[1])
    results = [first, crowded, third]
    with pytest.raises(DataError, match=r"1\.png: 4 objects lie over one another"):
        write_predictions(results, tmp_path / "none", to="coco")
    errors = []
    written = write_predictions(results, tmp_path / "out", to="coco", failed=errors.append)
    assert len(errors) == 1 and "1.png" in str(errors[0])
    assert written.images == {"all": 2}
    assert len(open_dataset(tmp_path / "out", None)) == 2
    with pytest.raises(DataError, match="no results"):
        write_predictions([crowded], tmp_path / "none", to="coco", failed=errors.append)


def test_mixed_results_are_refused(tmp_path):
    results = [next(draw_results(tmp_path / "in", task, 1)) for task in ("instance", "panoptic")]
    with pytest.raises(SettingsError, match="differ in their task or classes"):
        write_predictions(results, tmp_path / "out", to="labelme")


def test_the_task_follows_from_the_format():
    every = ("panoptic", "instance", "semantic")
    assert preferred_task("coco", every, LABELS) == "instance"
    assert preferred_task("semantic", every, LABELS) == "semantic"
    assert preferred_task("labelme", every, LABELS) == "panoptic"
    assert preferred_task("coco", ("semantic",), LABELS) == "semantic"
    cells = LabelSet(("cell", "background"), (True, False))
    assert preferred_task("labelme", every, cells) == "instance"


def test_a_model_labels_the_next_images(tmp_path):
    """The stream of a predictor, written and checked."""
    from conftest import draw_discs

    (tmp_path / "photos").mkdir()
    for number in range(2):
        Image.fromarray(draw_discs(number)[0]).save(tmp_path / "photos" / f"{number}.png")
    model = unimask.load("nuclei")
    written = unimask.write_predictions(
        model.stream(tmp_path / "photos", "instance"), tmp_path / "out", to="labelme"
    )
    assert written.images == {"all": 2}
    content = json.loads((tmp_path / "out" / "0.json").read_text())
    assert content["shapes"] and all(s["label"] == "nucleus" for s in content["shapes"])
    assert check(tmp_path / "out").passed
