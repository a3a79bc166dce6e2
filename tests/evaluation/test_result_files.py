"""Anyone's results: matched to pictures, scored, or refused in one line."""

import json

import numpy as np
import pytest
from conftest import draw_discs
from PIL import Image

from unimask.datasets import open_dataset
from unimask.errors import DataError, SettingsError, TaskError
from unimask.evaluation import evaluate
from unimask.evaluation.result_files import open_results
from unimask.formats.panoptic_png import encode_ids
from unimask.formats.run_length import run_lengths_of_ids

SKY, CELL = 7, 3
"""Category ids, which are no label ids: those are 1 and 0."""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """COCO panoptic with categories of odd ids: cells on sky, three pictures."""
    folder = tmp_path_factory.mktemp("cells")
    for name in ("images", "panoptic"):
        (folder / name).mkdir()
    content = {
        "categories": [
            {"id": SKY, "name": "sky", "isthing": 0},
            {"id": CELL, "name": "cell", "isthing": 1},
        ],
        "images": [],
        "annotations": [],
    }
    for index in range(3):
        image, ids = draw_discs(index)
        name = f"photo_{index + 40:06d}"
        ids = np.where(ids == 0, 200, ids).astype(np.int64)
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(encode_ids(ids)).save(folder / "panoptic" / f"{name}.png")
        content["images"].append({"id": index + 40, "file_name": f"{name}.png"})
        segments = [
            {"id": int(i), "category_id": SKY if i == 200 else CELL, "iscrowd": 0}
            for i in np.unique(ids)
        ]
        content["annotations"].append(
            {"image_id": index + 40, "file_name": f"{name}.png", "segments_info": segments}
        )
    (folder / "panoptic.json").write_text(json.dumps(content))
    return folder


def truth_as_coco(data) -> list[dict]:
    """Give the cells as COCO results."""
    dataset, entries = open_dataset(data), []
    for number, sample in enumerate([dataset[i] for i in range(len(dataset))], start=40):
        for i, rle in run_lengths_of_ids(sample.id_maps[0]).items():
            if dataset.labels.is_thing[sample.label_ids[i - 1]]:
                entries.append(
                    {
                        "image_id": number,
                        "category_id": CELL,
                        "segmentation": rle.to_coco(),
                        "score": 0.9,
                    }
                )
    return entries


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_coco_results(cells, tmp_path):
    entries = truth_as_coco(cells)
    report = evaluate(cells, results=write(tmp_path / "r.json", entries), split=None)
    assert report["task"] == "instance" and report["notes"] == []
    assert [report["metrics"][k] for k in ("AP", "AR100", "AP_match")] == pytest.approx([100] * 3)
    kept = [entry for entry in entries if entry["image_id"] != 41]
    kept.append(entries[0] | {"image_id": 999})
    report = evaluate(cells, results=write(tmp_path / "r.json", kept), split=None)
    assert report["metrics"]["AR100"] == pytest.approx(100 * (len(kept) - 1) / len(entries))
    assert report["notes"] == [
        "1 results are of pictures that are not in the data: left out",
        "1 of 3 pictures have no result: all missed",
    ]


@pytest.mark.parametrize("named", ["photo_000041", "photo_000041.png", 41])
def test_pictures_are_known_by_name_or_number(cells, tmp_path, named):
    entries = [e | {"image_id": named} for e in truth_as_coco(cells) if e["image_id"] == 41]
    source = open_results(write(tmp_path / "r.json", entries), open_dataset(cells))
    sizes = [len(source.of(index, (96, 128)).segments) for index in range(3)]
    assert sizes == [0, len(entries), 0]


def test_panoptic_results(cells, tmp_path):
    """The truth itself is a perfect result; the PNGs may lie in a folder of the JSON's name."""
    report = evaluate(cells, results=cells / "panoptic.json", split=None)
    assert report["task"] == "panoptic" and report["metrics"]["PQ"] == 100
    content = json.loads((cells / "panoptic.json").read_text())
    (tmp_path / "mine").mkdir()
    for entry in content["annotations"]:
        picture = Image.open(cells / "panoptic" / entry["file_name"])
        picture.save(tmp_path / "mine" / entry["file_name"])
    del content["categories"], content["images"]
    write(tmp_path / "mine.json", content)
    for place in (tmp_path / "mine.json", tmp_path):
        assert evaluate(cells, results=place, split=None)["metrics"]["PQ"] == 100


@pytest.mark.parametrize("ending", ["", "_ids"])
def test_maps_of_label_ids(cells, tmp_path, ending):
    dataset = open_dataset(cells)
    for sample in (dataset[i] for i in range(3)):
        labels = np.array([255, *sample.label_ids])[sample.id_maps[0]].astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / f"{sample.path.stem}{ending}.png")
    report = evaluate(cells, results=tmp_path, split=None)
    assert report["task"] == "semantic" and report["metrics"]["mIoU"] == 100


def test_maps_of_object_numbers(discs, tmp_path):
    for path in (discs / "val" / "masks").iterdir():
        Image.open(path).save(tmp_path / path.name)
    report = evaluate(discs, results=tmp_path, task="instance")
    assert report["metrics"]["AP_match"] == 100
    assert report["metrics"]["AP"] == pytest.approx(100)


WRONG = {
    "no mask": ({"segmentation": [[1, 2, 3, 4, 5, 6]]}, "no run length"),
    "other size": ({"segmentation": {"size": [2, 3], "counts": [6]}}, "2 x 3"),
    "torn": ({"segmentation": {"size": [96, 128], "counts": "zzz"}}, "entry 0"),
    "score": ({"score": float("nan")}, "score nan"),
    "category": ({"category_id": 5}, "category 5"),
    "nobody": ({"image_id": 1234}, "no result for any"),
}


@pytest.mark.parametrize(("change", "told"), WRONG.values(), ids=WRONG)
def test_bad_entries_are_told(cells, tmp_path, change, told):
    entries = [truth_as_coco(cells)[0] | change]
    with pytest.raises(DataError, match=told):
        evaluate(cells, results=write(tmp_path / "r.json", entries), split=None)


def test_entries_that_lack_something(cells, tmp_path):
    entry = truth_as_coco(cells)[0]
    for key in entry:
        bad = [{k: v for k, v in entry.items() if k != key}]
        with pytest.raises(DataError, match=key):
            evaluate(cells, results=write(tmp_path / "r.json", bad), split=None)


def test_files_that_are_no_results(cells, tmp_path):
    path = tmp_path / "r.json"
    with pytest.raises(DataError, match="does not exist"):
        evaluate(cells, results=path, split=None)
    path.write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        evaluate(cells, results=path, split=None)
    with pytest.raises(DataError, match="neither COCO results"):
        evaluate(cells, results=write(path, {"a": 1}), split=None)
    with pytest.raises(DataError, match="annotations"):
        evaluate(cells, results=write(path, {"annotations": [3]}), split=None)
    with pytest.raises(TaskError, match="instance results, not semantic"):
        evaluate(cells, results=write(path, truth_as_coco(cells)), task="semantic", split=None)
    with pytest.raises(SettingsError, match="nothing to score"):
        evaluate(cells)
    with pytest.raises(SettingsError, match="one of them"):
        evaluate(cells, "nuclei", results=path)


def test_maps_that_do_not_fit(cells, discs, tmp_path):
    stem = open_dataset(cells).paths[0].stem
    target = tmp_path / f"{stem}.png"
    for values, told in (
        (np.zeros((4, 5), np.uint8), "4 x 5"),
        (np.full((96, 128), 9, np.uint8), "class 9"),
        (np.zeros((96, 128, 3), np.uint8), "one number per pixel"),
    ):
        Image.fromarray(values).save(target)
        with pytest.raises(DataError, match=told):
            evaluate(cells, results=tmp_path, split=None)
    target.write_bytes(b"no picture")
    with pytest.raises(DataError, match="cannot be read"):
        evaluate(cells, results=tmp_path, split=None)
    with pytest.raises(DataError, match="tells the classes"):
        evaluate(cells, results=tmp_path, task="panoptic", split=None)


def test_a_segment_that_the_json_lacks(cells, tmp_path):
    content = json.loads((cells / "panoptic.json").read_text())
    content["annotations"][0]["segments_info"].pop()
    (tmp_path / "panoptic").symlink_to(cells / "panoptic")
    with pytest.raises(DataError, match="does not list"):
        evaluate(cells, results=write(tmp_path / "r.json", content), split=None)
