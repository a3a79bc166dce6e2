"""Comparison of two models: pooled scores and confidence intervals."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import NUCLEI, TINY_DETR, TINY_SWIN, tiny_checkpoint
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

import unimask
from unimask.checkpoints import write_huggingface
from unimask.datasets import Sample
from unimask.errors import TaskError
from unimask.evaluation import compare
from unimask.evaluation.bootstrap import paired_bootstrap
from unimask.evaluation.pooling import build_pool, matched_pool
from unimask.evaluation.scorers import build_scorer
from unimask.formats.run_length import RunLength
from unimask.metrics import MatchedPrecision
from unimask.results import Result, Segment

SIZE = (8, 10)


def draw(task, seed):
    """Return a partly correct prediction and the ground truth of an image."""
    random = np.random.default_rng(seed)
    ids = np.zeros((1, *SIZE), np.int32)
    labels = random.integers(2, size=4)
    for number in range(1, 5):
        top, left = random.integers((0, 0), (5, 7))
        ids[0, top : top + 3, left : left + 3] = number
    image = np.zeros((*SIZE, 3), np.uint8)
    sample = Sample(image, ids, labels, random.random(4) < 0.1, None, Path(f"{seed}.png"))
    moved = np.roll(ids[0], int(random.integers(2)), axis=int(random.integers(2)))
    segments = []
    groups = range(2) if task == "semantic" else range(1, 5)
    for index, group in enumerate(groups):
        mask = np.isin(moved, np.flatnonzero(labels == group) + 1 if task == "semantic" else group)
        label = group if task == "semantic" else int(random.integers(2))
        if mask.any():
            rle, score = RunLength.from_mask(mask), (seed + index / 10) % 97 / 97
            segments.append(Segment.from_rle(NUCLEI, label, rle, id=index + 1, score=score))
    return Result(task, SIZE, NUCLEI, tuple(segments)), sample


@pytest.mark.parametrize("task", ["panoptic", "semantic", "instance"])
@given(seeds=st.lists(st.integers(0, 999), min_size=1, max_size=5, unique=True), draws=st.data())
def test_pooled_scores_equal_repeated_images(task, seeds, draws):
    times = np.array([draws.draw(st.integers(0, 3)) for _ in seeds])
    parts, whole = [], build_scorer(task, NUCLEI)
    for seed, count in zip(seeds, times.tolist(), strict=True):
        part = build_scorer(task, NUCLEI)
        part.add(*draw(task, seed))
        parts.append(part)
        for _ in range(count):
            whole.add(*draw(task, seed))
    expected = whole.metrics()
    for name, value in build_pool(parts)(times).items():
        assert value == (None if expected[name] is None else pytest.approx(expected[name])), name


def test_intervals_equal_those_of_scipy():
    random = np.random.default_rng(0)
    difficulty = random.uniform(0, 0.6, 40)
    first, second = (
        difficulty + random.uniform(0, 0.3, 40),
        difficulty + random.uniform(0.02, 0.4, 40),
    )
    pools = []
    for scores in (first, second):
        part = MatchedPrecision((0.5,))
        part.images = [[float(score)] for score in scores]
        pools.append(matched_pool([part]))
    interval = paired_bootstrap(*pools, 40, resamples=4000)["AP_match@0.50"]

    def change(one, other, axis):
        return 100 * (other.mean(axis) - one.mean(axis))

    reference = bootstrap(
        (first, second), change, paired=True, method="percentile", n_resamples=4000, rng=1
    ).confidence_interval
    assert interval.change == pytest.approx(change(first, second, 0))
    width = reference.high - reference.low
    assert interval.low == pytest.approx(reference.low, abs=0.05 * width)
    assert interval.high == pytest.approx(reference.high, abs=0.05 * width)
    assert interval.is_significant and interval.win_rate > 0.9


@pytest.fixture(scope="module", params=[TINY_SWIN, TINY_DETR], ids=["mask2former", "detr"])
def models(tmp_path_factory, request):
    """Two folders of untrained networks that differ in their weights."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    for seed, folder in enumerate(folders):
        write_huggingface(folder, tiny_checkpoint(request.param, seed))
    return folders


@pytest.mark.parametrize("task", ["panoptic", "semantic", "instance"])
def test_comparing_a_model_with_itself_gives_equal_scores(discs, models, task):
    comparison = compare(models[0], models[0], discs, task=task, resamples=20)
    assert comparison.images == 2 and len(set(comparison.names)) == 2
    for score in comparison.scores.values():
        assert score.change in (0, None) and not score.is_significant
    scores = unimask.evaluate(discs, models[0], task=task)["metrics"]
    for name, score in comparison.scores.items():
        assert score.first == (None if scores[name] is None else pytest.approx(scores[name]))


def test_comparisons_are_written_completely(discs, models, tmp_path):
    steps = []
    comparison = compare(
        *models,
        discs,
        task="semantic",
        resamples=5,
        json=tmp_path / "both.json",
        progress=lambda *step: steps.append(step),
    )
    written = json.loads((tmp_path / "both.json").read_text())
    assert written.pop("generator").startswith("unimask ")
    assert written == comparison.to_dict() and written["scores"]["mIoU"]["change"] is not None
    names = comparison.names
    assert steps[:4] == [(names[0], 1, 2), (names[0], 2, 2), (names[1], 1, 2), (names[1], 2, 2)]
    assert steps[4:] == [("resamples", done, 5) for done in range(1, 6)]


def test_tasks_that_one_model_does_not_support_are_refused(discs, models):
    with pytest.raises(TaskError):
        compare(*models, discs, task="everything")
