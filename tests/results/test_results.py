"""`Result` in every output format, also empty."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unimask.errors import OutputError
from unimask.formats.panoptic_png import decode_ids
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment

LABELS = LabelSet(("cat", "sky"), (True, False))
SIZE = (6, 8)


def box(top, bottom, left, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return RunLength.from_mask(mask)


TWO_CATS = ((0, 0.9, box(0, 4, 0, 4)), (0, 0.6, box(2, 6, 2, 8)))


def result(task="instance", parts=TWO_CATS):
    segments = tuple(
        Segment.from_rle(LABELS, label, rle, id=index, score=None if task == "semantic" else score)
        for index, (label, score, rle) in enumerate(parts, start=1)
    )
    return Result(task=task, size=SIZE, labels=LABELS, segments=segments)


EMPTY = [Result(task=task, size=SIZE, labels=LABELS, segments=()) for task in
         ("semantic", "instance", "panoptic")]  # fmt: skip


def test_the_higher_score_lies_on_top():
    found = result()
    assert found.segmentation[3, 3] == 1 and found.segmentation[5, 7] == 2
    assert found.segmentation[0, 7] == 0
    assert found.segmentation.dtype == np.int32


def test_semantic_maps_hold_label_ids_and_minus_one():
    found = result("semantic", ((1, None, box(0, 6, 0, 4)),))
    assert set(found.segmentation[:, :4].ravel()) == {1}
    assert set(found.segmentation[:, 4:].ravel()) == {-1}


def test_arrays_agree_with_the_segments():
    found = result()
    assert found.masks.shape == (2, *SIZE) and found.masks[1].sum() == 24
    assert found.boxes.tolist() == [[0, 0, 4, 4], [2, 2, 8, 6]]
    assert found.names == ("cat", "cat") and found.label_ids.tolist() == [0, 0]
    assert found.scores.tolist() == [0.9, 0.6]
    assert [segment.area for segment in found.segments] == [16, 24]


@pytest.mark.parametrize("empty", EMPTY, ids=lambda r: r.task)
def test_empty_results_support_every_method(empty, tmp_path):
    assert len(empty) == 0 and empty.masks.shape == (0, *SIZE)
    assert empty.boxes.shape == (0, 4) and empty.scores.shape == empty.label_ids.shape == (0,)
    assert empty.names == () and empty.to_coco() == []
    colours, info = empty.to_panoptic()
    assert not colours.any() and info == []
    assert empty.plot().size[0] >= SIZE[1]
    assert set(empty.save(tmp_path)) == {"overlay", "ids", "json"}


def test_notebooks_show_the_drawing():
    """Jupyter calls the method by this name for the value of a cell."""
    with Image.open(BytesIO(result()._repr_png_())) as shown:
        assert shown.format == "PNG"
        assert np.array_equal(np.asarray(shown), np.asarray(result().plot()))


def test_saved_files_hold_the_result(tmp_path):
    found = result("panoptic", ((0, 0.9, box(0, 4, 0, 4)), (1, 0.8, box(4, 6, 0, 8))))
    paths = found.save(tmp_path / "new", "x")
    content = json.loads(paths["json"].read_text())
    assert [s["label"] for s in content["segments"]] == ["cat", "sky"]
    rle = RunLength.from_coco(content["segments"][0]["rle"])
    assert np.array_equal(rle.to_mask(), found.segments[0].mask)
    with Image.open(paths["ids"]) as image:
        assert np.array_equal(decode_ids(np.asarray(image)), found.segmentation)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "unimask.json", "x.json", "x_ids.png", "x_overlay.png",
    ]  # fmt: skip


@pytest.mark.parametrize(("task", "dtype"), [("instance", np.uint16), ("semantic", np.uint8)])
def test_id_images_keep_their_numbers(tmp_path, task, dtype):
    found = result(task, ((1, 0.9, box(0, 4, 0, 4)),))
    with Image.open(found.save(tmp_path)["ids"]) as image:
        ids = np.asarray(image)
    assert ids.dtype == dtype
    nothing = 255 if task == "semantic" else 0
    assert ids[5, 7] == nothing and ids[0, 0] == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pycocotools' own
def test_coco_results_are_what_pycocotools_reads():
    masks = pytest.importorskip("pycocotools.mask")
    entries = result().to_coco(image_id=7)
    assert [entry["image_id"] for entry in entries] == [7, 7]
    assert entries[1]["bbox"] == [2, 2, 6, 4]
    for entry, mask in zip(entries, result().masks, strict=True):
        assert np.array_equal(masks.decode(entry["segmentation"]), mask)


def test_coco_panoptic_lists_what_is_visible():
    covered = ((0, 0.9, box(0, 4, 0, 4)), (0, 0.5, box(1, 3, 1, 3)))
    colours, info = result("instance", covered).to_panoptic()
    assert [entry["id"] for entry in info] == [1] and info[0]["area"] == 16
    assert decode_ids(colours).max() == 1


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        result().save(tmp_path / "file" / "out")


def test_results_have_the_category_ids_of_their_dataset():
    labels = LabelSet(("cat", "sky"), (True, False), category_ids=(17, 3))
    found = replace(result("panoptic", (*TWO_CATS[:1], (1, 0.8, box(4, 6, 0, 8)))), labels=labels)
    assert [entry["category_id"] for entry in found.to_coco()] == [17, 3]
    assert [entry["category_id"] for entry in found.to_panoptic()[1]] == [17, 3]
    assert [entry["category_id"] for entry in found.to_dict()["segments"]] == [17, 3]
    assert [entry["label_id"] for entry in found.to_dict()["segments"]] == [0, 1]
    assert [entry["category_id"] for entry in result().to_coco()] == [0, 0]


def test_results_name_their_image_so_that_they_can_be_scored():
    found = replace(result(), path=Path("somewhere/left_01.png"))
    assert {entry["image_id"] for entry in found.to_coco()} == {"left_01"}
    assert {entry["image_id"] for entry in result().to_coco()} == {0}
