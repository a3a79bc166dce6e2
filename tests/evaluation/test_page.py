"""The page of an evaluation: confusion counts, gallery, and a self-contained file."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import NUCLEI

from unimask.datasets import Sample
from unimask.evaluation.confusion import Confusion
from unimask.evaluation.gallery import Gallery
from unimask.evaluation.page import Page, write_page
from unimask.evaluation.page_collector import PageCollector, precision_recall_curves
from unimask.evaluation.scorers import build_scorer
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment

LABELS = LabelSet(("cat", "dog", "ground"), (True, True, False))
SIZE = (12, 16)


def box(y0, y1, x0, x1):
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


LEFT, RIGHT, BELOW = box(1, 5, 1, 5), box(1, 5, 8, 12), box(8, 11, 1, 9)


def truth(*segments, crowds=(), name="a.png"):
    ids = np.zeros((1, *SIZE), np.int32)
    for number, (mask, _) in enumerate(segments, start=1):
        ids[0][mask] = number
    crowd = np.isin(np.arange(len(segments)), crowds)
    labels = np.array([label for _, label in segments], np.int64)
    return Sample(np.zeros((*SIZE, 3), np.uint8), ids, labels, crowd, None, Path(name))


def prediction(task, *entries):
    entries = [
        Segment.from_rle(LABELS, label, RunLength.from_mask(mask), id=number, score=score)
        for number, (mask, label, score) in enumerate(entries, start=1)
    ]
    return Result(task, SIZE, LABELS, tuple(entries))


def test_segments_are_matched_independent_of_their_ids():
    confusion = Confusion(LABELS)
    confusion.add(
        prediction("instance", (LEFT, 1, 0.9), (BELOW, 0, 0.9)), truth((LEFT, 0), (RIGHT, 1))
    )
    cat, dog, nothing = 0, 1, 3
    expected = np.zeros((4, 4), np.int64)
    expected[cat, dog] = expected[nothing, cat] = expected[dog, nothing] = 1
    assert (confusion.counts == expected).all()


def test_crowds_and_unknown_pixels_are_not_confused():
    confusion = Confusion(LABELS)
    sample = truth((LEFT, 0), (RIGHT, 1), crowds=(1,))
    confusion.add(prediction("instance", (LEFT, 0, 0.9), (RIGHT, 0, 0.8)), sample)
    assert confusion.counts.sum() == 1 and confusion.counts[0, 0] == 1
    unknown = replace(truth((LEFT, 0)), ignored=BELOW)
    confusion.add(prediction("panoptic", (LEFT, 0, 0.9), (BELOW, 2, 0.8)), unknown)
    assert confusion.counts.sum() == 2 and confusion.counts[0, 0] == 2


def test_semantic_confusion_counts_pixels():
    confusion = Confusion(LABELS)
    confusion.add(prediction("semantic", (LEFT, 1, None)), truth((LEFT, 0), (BELOW, 2)))
    assert confusion.counts[0, 1] == LEFT.sum() and confusion.counts[2, 3] == BELOW.sum()
    assert confusion.counts.sum() == LEFT.sum() + BELOW.sum()


def test_the_gallery_keeps_the_best_and_the_worst():
    gallery = Gallery(LABELS, images_per_end=2)
    for score in (50, 10, 90, 30, 70, 20):
        gallery.add(
            prediction("instance", (LEFT, 0, 0.9)), truth((LEFT, 0), name=f"{score}.png"), score
        )
    assert [shown.name for shown in gallery.best] == ["90.png", "70.png"]
    assert [shown.name for shown in gallery.worst] == ["10.png", "20.png"]


def test_few_images_are_halved():
    few = Gallery(LABELS, images_per_end=3)
    assert not few.best and not few.worst
    for score in (50, 10, 0, 20, 0):
        few.add(prediction("instance"), truth((LEFT, 0), name=f"{score}.png"), score)
    assert [shown.score for shown in few.best] == [50, 20, 10]
    assert [shown.score for shown in few.worst] == [0, 0]
    one = Gallery(LABELS, images_per_end=3)
    one.add(prediction("instance"), truth((LEFT, 0)), 0)
    assert len(one.best) == 1 and not one.worst


class Reader(HTMLParser):
    """Parser that checks that all tags are closed and no external resources are loaded."""

    VOID = ("meta", "img", "polyline", "rect")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            assert name not in ("href", "onload") and not (value or "").startswith("http")
            assert name != "src" or value.startswith("data:image/jpeg;base64,")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("task", ["instance", "panoptic", "semantic"])
def test_the_page_is_self_contained(tmp_path, task):
    labels = LabelSet(("cat", "<script>dog", "ground"), LABELS.is_thing)
    collector, scorer = PageCollector(labels, task), build_scorer(task, labels)
    segments = prediction(task, (LEFT, 0, 0.9), (RIGHT, 0, 0.7), (BELOW, 2, 0.8))
    sample = truth((LEFT, 0), (RIGHT, 1), (BELOW, 2), name="<b>.png")
    for accumulator in (collector, scorer):
        accumulator.add(segments, sample)
    path = tmp_path / "page.html"
    page = Page(
        title="nuclei & co",
        description="1 image",
        metrics=scorer.metrics(),
        per_class=scorer.per_class(),
        notes=["a note"],
        curves=precision_recall_curves(scorer),
        confusion=collector.confusion.counts,
        labels=labels,
        best=collector.gallery.best,
        worst=collector.gallery.worst,
    )
    write_page(path, page)
    reader = Reader()
    reader.feed(path.read_text())
    assert not reader.open and "script" not in reader.tags
    assert "<script>dog" in reader.text and "<b>.png" in reader.text
    assert ("svg" in reader.tags) == (task == "instance") and reader.tags.count("img") == 2
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_images_without_a_score_are_not_shown():
    collector = PageCollector(NUCLEI, "semantic")
    collector.add(Result("semantic", SIZE, NUCLEI, ()), truth())
    assert not collector.gallery.best and not collector.confusion.counts.any()


def test_curves_exist_only_for_occurring_classes():
    scorer = build_scorer("instance", LABELS)
    scorer.add(prediction("instance", (LEFT, 0, 0.9)), truth((LEFT, 0), (RIGHT, 0)))
    curves = precision_recall_curves(scorer)
    assert list(curves) == ["IoU 0.5", "IoU 0.75", "IoU 0.9", "mean of all"]
    assert curves["IoU 0.5"][:51] == pytest.approx(1) and not curves["IoU 0.5"][51:].any()
    assert precision_recall_curves(build_scorer("panoptic", LABELS)) == {}
