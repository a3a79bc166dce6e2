"""Result files of other programs: matched with images and scored, or refused in one line."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from conftest import draw_discs
from PIL import Image

from unimask.datasets import open_dataset
from unimask.datasets.ground_truth import ground_truth_result
from unimask.errors import DataError, SettingsError, TaskError
from unimask.evaluation import evaluate
from unimask.evaluation.result_files import open_results
from unimask.formats.panoptic_png import encode_ids
from unimask.formats.run_length import RunLength, encode_id_map
from unimask.labels import LabelSet

SKY, CELL = 7, 3
"""Category ids, which differ from the label ids 1 and 0."""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """COCO panoptic with unusual category ids: cells on sky, three images."""
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


def perfect_results(data) -> list[dict]:
    """Return the cells as COCO results."""
    dataset, entries = open_dataset(data), []
    for number, sample in enumerate([dataset[i] for i in range(len(dataset))], start=40):
        for i, rle in encode_id_map(sample.id_maps[0]).items():
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
    entries = perfect_results(cells)
    report = evaluate(cells, results=write(tmp_path / "r.json", entries), split=None)
    assert report["task"] == "instance" and report["notes"] == []
    assert [report["metrics"][k] for k in ("AP", "AR100", "AP_match")] == pytest.approx([100] * 3)
    changed = [entry for entry in entries if entry["image_id"] != 41]
    changed.append(entries[0] | {"image_id": 999})
    report = evaluate(cells, results=write(tmp_path / "r.json", changed), split=None)
    assert report["metrics"]["AR100"] == pytest.approx(100 * (len(changed) - 1) / len(entries))
    assert report["notes"] == [
        "1 results belong to images that are not in the data: ignored",
        "1 of 3 images have no result: all their objects count as missed",
    ]


@pytest.mark.parametrize("named", ["photo_000041", "photo_000041.png", 41])
def test_images_are_known_by_name_or_number(cells, tmp_path, named):
    entries = [e | {"image_id": named} for e in perfect_results(cells) if e["image_id"] == 41]
    source = open_results(write(tmp_path / "r.json", entries), open_dataset(cells))
    sizes = [len(source.result(index, (96, 128)).segments) for index in range(3)]
    assert sizes == [0, len(entries), 0]


def test_panoptic_results(cells, tmp_path):
    """The ground truth is a perfect result; the PNGs may be in a folder of the JSON's name."""
    report = evaluate(cells, results=cells / "panoptic.json", split=None)
    assert report["task"] == "panoptic" and report["metrics"]["PQ"] == 100
    content = json.loads((cells / "panoptic.json").read_text())
    (tmp_path / "mine").mkdir()
    for entry in content["annotations"]:
        image = Image.open(cells / "panoptic" / entry["file_name"])
        image.save(tmp_path / "mine" / entry["file_name"])
    del content["categories"], content["images"]
    write(tmp_path / "mine.json", content)
    for results in (tmp_path / "mine.json", tmp_path):
        assert evaluate(cells, results=results, split=None)["metrics"]["PQ"] == 100


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


BAD_ENTRIES = {
    "no mask": ({"segmentation": [[1, 2, 3, 4, 5, 6]]}, "not a run-length encoding"),
    "other size": ({"segmentation": {"size": [2, 3], "counts": [6]}}, "2 x 3"),
    "truncated counts": ({"segmentation": {"size": [96, 128], "counts": "zzz"}}, "entry 0"),
    "score": ({"score": float("nan")}, "holds NaN, which is not a JSON number"),
    "infinite score": ({"score": float("inf")}, "holds Infinity, which is not a JSON number"),
    "huge score": ({"score": 10**400}, "entry 0: score is a number of"),
    "text for a score": ({"score": "high"}, "entry 0: score is 'high'"),
    "infinite size": ({"segmentation": {"size": [1e300 * 1e10, 3], "counts": [6]}}, "Infinity"),
    "huge size": ({"segmentation": {"size": [10**400, 3], "counts": [6]}}, "entry 0"),
    "sums that wrap": (
        {"segmentation": {"size": [96, 128], "counts": [2**62, 2**62, 2**62, 2**62, 12288]}},
        "entry 0: the run length 4611686018427387904 is no whole number",
    ),
    "huge counts": ({"segmentation": {"size": [96, 128], "counts": [2**64, 12288]}}, "entry 0"),
    "a list of categories": ({"category_id": [3]}, "entry 0: category_id"),
    "no image": ({"image_id": None}, "entry 0: image_id"),
    "null mask": ({"segmentation": None}, "not a run-length encoding"),
    "category": ({"category_id": 5}, "category 5"),
    "unknown image": ({"image_id": 1234}, "no result for any"),
}


@pytest.mark.parametrize(("change", "message"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_bad_entries_are_reported(cells, tmp_path, change, message):
    entries = [perfect_results(cells)[0] | change]
    with pytest.raises(DataError, match=message):
        evaluate(cells, results=write(tmp_path / "r.json", entries), split=None)


def test_incomplete_entries_are_refused(cells, tmp_path):
    entry = perfect_results(cells)[0]
    for key in entry:
        bad = [{k: v for k, v in entry.items() if k != key}]
        with pytest.raises(DataError, match=key):
            evaluate(cells, results=write(tmp_path / "r.json", bad), split=None)


def test_files_that_are_not_results_are_refused(cells, tmp_path):
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
        evaluate(cells, results=write(path, perfect_results(cells)), task="semantic", split=None)
    with pytest.raises(SettingsError, match="nothing to score"):
        evaluate(cells)
    with pytest.raises(SettingsError, match="one of them"):
        evaluate(cells, "nuclei", results=path)


def test_maps_of_wrong_shapes_are_refused(cells, discs, tmp_path):
    stem = open_dataset(cells).paths[0].stem
    target = tmp_path / f"{stem}.png"
    for values, message in (
        (np.zeros((4, 5), np.uint8), "4 x 5"),
        (np.full((96, 128), 9, np.uint8), "label id 9"),
        (np.zeros((96, 128, 3), np.uint8), "one integer per pixel"),
    ):
        Image.fromarray(values).save(target)
        with pytest.raises(DataError, match=message):
            evaluate(cells, results=tmp_path, split=None)
    target.write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read"):
        evaluate(cells, results=tmp_path, split=None)
    with pytest.raises(DataError, match="which holds the classes"):
        evaluate(cells, results=tmp_path, task="panoptic", split=None)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "I;16"])
def test_panoptic_maps_without_three_channels_are_one_line(cells, tmp_path, mode):
    content = (cells / "panoptic.json").read_text()
    folder = tmp_path / "panoptic"
    shutil.copytree(cells / "panoptic", folder)
    path = min(folder.iterdir())
    with Image.open(path) as image:
        size = image.size
    Image.new(mode, size).save(path)
    (tmp_path / "panoptic.json").write_text(content)
    with pytest.raises(DataError, match=r"png is no RGB image, as COCO panoptic is") as raised:
        evaluate(cells, results=tmp_path / "panoptic.json", split=None)
    assert "\n" not in str(raised.value)


def test_segments_missing_from_the_json_are_named(cells, tmp_path):
    content = json.loads((cells / "panoptic.json").read_text())
    content["annotations"][0]["segments_info"].pop()
    (tmp_path / "panoptic").symlink_to(cells / "panoptic")
    with pytest.raises(DataError, match="does not list"):
        evaluate(cells, results=write(tmp_path / "r.json", content), split=None)


def write_saved_results(folder, data, task, labels=None, **changes):
    """Write the ground truth of every image like results of `unimask predict`."""
    dataset = open_dataset(data)
    for sample in (dataset[index] for index in range(len(dataset))):
        result = ground_truth_result(sample, labels or dataset.labels, task)
        if task != "semantic":  # predicted segments have scores
            result = replace(result, segments=tuple(replace(s, score=0.9) for s in result.segments))
        result.save(folder, changes.get("stem", sample.path.stem))
    return folder


PERFECT = {"instance": ("AP", "AP_match"), "panoptic": ("PQ",), "semantic": ("mIoU",)}


@pytest.mark.parametrize("task", PERFECT)
def test_outputs_of_predict_are_scored_unchanged(cells, tmp_path, task):
    out = write_saved_results(tmp_path / "out", cells, task)
    report = evaluate(cells, results=out, task=task, split=None)
    assert [report["metrics"][name] for name in PERFECT[task]] == pytest.approx(
        [100] * len(PERFECT[task])
    )
    assert not any("left out" in note or "no result" in note for note in report["notes"])
    other = next(name for name in PERFECT if name != task)
    with pytest.raises(TaskError, match=f"holds {task} results, not {other}"):
        evaluate(cells, results=out, task=other, split=None)


def test_saved_results_are_matched_by_the_names_of_classes_and_other_files_are_no_matter(
    cells, tmp_path
):
    ours = LabelSet(("sky", "cell"), (False, True))
    assert open_dataset(cells).labels.names == ("cell", "sky")
    out = write_saved_results(tmp_path / "out", cells, "instance")
    (out / "notes.json").write_text('{"a": 1}')
    for path in out.glob("photo*.json"):
        content = json.loads(path.read_text())
        content |= {"labels": list(ours.names), "is_thing": list(ours.is_thing)}
        for segment in content["segments"]:
            segment["label_id"] = 1
        path.write_text(json.dumps(content))
    assert evaluate(cells, results=out, split=None)["metrics"]["AP"] == pytest.approx(100)
    with pytest.raises(SettingsError, match="identifies classes by name"):
        evaluate(cells, results=out, split=None, categories="data")


def test_saved_results_in_subfolders_belong_to_the_images_of_these(tmp_path):
    data = tmp_path / "data"
    for subfolder in ("left", "right"):
        for kind in ("images", "masks"):
            (data / kind / subfolder).mkdir(parents=True)
        for index in range(2):
            image, ids = draw_discs(index + (7 if subfolder == "left" else 0), count=4)
            Image.fromarray(image).save(data / "images" / subfolder / f"{index}.png")
            Image.fromarray(ids).save(data / "masks" / subfolder / f"{index}.png")
    dataset = open_dataset(data)
    out = tmp_path / "out"
    for sample in (dataset[index] for index in range(len(dataset))):
        result = ground_truth_result(sample, dataset.labels, "instance")
        result = replace(result, path=None)  # as on another machine
        result.save(out / sample.path.parent.name, sample.path.stem)
    report = evaluate(data, results=out, split=None, task="instance")
    assert report["images"] == 4 and report["metrics"]["AP"] == pytest.approx(100)


def one_segment(label_id, size, count):
    return {"label_id": label_id, "rle": {"size": size, "counts": [count]}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "depth"}, "task"),
        ({"labels": []}, "at least one name"),
        ({"labels": 3}, "labels"),
        ({"segments": [one_segment(9, [96, 128], 12288)]}, "label_id 9"),
        ({"segments": [one_segment(0, [96, 128], 2**64)]}, "segment 1"),
        ({"segments": [one_segment(0, [6, 8], 48)]}, "6 x 8"),
        ({"segments": [3]}, "segments"),
        ({"labels": ["cell", "tree"]}, "must be the same"),
    ],
    ids=str,
)  # fmt: skip
def test_damaged_saved_results_are_one_line(cells, tmp_path, change, message):
    out = write_saved_results(tmp_path / "out", cells, "panoptic")
    for path in out.glob("*.json"):
        if path.name != "unimask.json":
            path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message) as failed:
        evaluate(cells, results=out, split=None)
    assert "\n" not in str(failed.value)


KINDS = ("cat", "dog", "cow")


def coco_of_kinds(folder, kinds):
    """Write a COCO dataset, one object of `kinds` per image, and return its perfect results."""
    folder.mkdir()
    content = {
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(KINDS)],
        "images": [], "annotations": [],
    }  # fmt: skip
    results = []
    for index, kind in enumerate(kinds):
        image, _ = draw_discs(index, (40, 60), count=1)
        Image.fromarray(image).save(folder / f"{index}.png")
        content["images"].append(
            {"id": index, "file_name": f"{index}.png", "height": 40, "width": 60}
        )
        x = 5 + 10 * (index % 3)
        mask = np.zeros((40, 60), bool)
        mask[5:25, x : x + 20] = True
        outline = [x, 5, x + 20, 5, x + 20, 25, x, 25]
        shape = {"image_id": index, "category_id": KINDS.index(kind) + 1}
        content["annotations"].append(
            {**shape, "id": index + 1, "segmentation": [outline], "bbox": [x, 5, 20, 20],
             "area": 400, "iscrowd": 0}
        )  # fmt: skip
        rle = RunLength.from_mask(mask).to_coco()
        results.append({**shape, "segmentation": rle, "score": 0.9})
    (folder / "labels.json").write_text(json.dumps(content))
    return results


@pytest.mark.parametrize("kinds", [KINDS, ("dog", "cow"), ("cat", "dog"), ("dog",)], ids=str)
def test_both_class_numberings_are_recognised_and_reported(tmp_path, kinds):
    """Category ids of the data, or label ids from 0: elsewhere one of them silently scores 0."""
    results = coco_of_kinds(tmp_path / "data", kinds)
    from_zero = [entry | {"category_id": entry["category_id"] - 1} for entry in results]
    for entries, expected_note in ((results, None), (from_zero, "label ids from 0")):
        path = write(tmp_path / "r.json", entries)
        report = evaluate(tmp_path / "data", results=path, split=None)
        assert report["metrics"]["AP"] == pytest.approx(100)
        assert expected_note is None or any(expected_note in note for note in report["notes"])


def test_undecidable_class_numbering_requires_an_option(tmp_path):
    results = coco_of_kinds(tmp_path / "data", ("cat", "cow"))
    for entry in results:  # one numbering matches the first entry, the other one the second
        entry["category_id"] = {1: 1, 3: 2}[entry["category_id"]]
    path = write(tmp_path / "r.json", results)
    with pytest.raises(DataError, match=r"1 of 2 results .* --categories data") as failed:
        evaluate(tmp_path / "data", results=path, split=None)
    assert "\n" not in str(failed.value)
    for categories in ("data", "labels"):
        report = evaluate(tmp_path / "data", results=path, split=None, categories=categories)
        assert report["metrics"]["AP"] == pytest.approx(50)
    with pytest.raises(SettingsError, match="choose data or labels"):
        evaluate(tmp_path / "data", results=path, split=None, categories="names")
    with pytest.raises(SettingsError, match="applies only to results"):
        evaluate(tmp_path / "data", "nuclei", categories="data")


def test_results_of_ours_are_scored_on_the_coco_data_that_they_came_from(tmp_path):
    coco_of_kinds(tmp_path / "data", ("dog", "cow"))
    dataset = open_dataset(tmp_path / "data")
    results = []
    for sample in (dataset[index] for index in range(2)):
        results += ground_truth_result(sample, dataset.labels, "instance").to_coco()
    assert {entry["category_id"] for entry in results} == {2, 3}
    path = write(tmp_path / "r.json", results)
    assert evaluate(tmp_path / "data", results=path, split=None)["metrics"]["AP"] == pytest.approx(
        100
    )


def test_panoptic_results_by_label_ids_are_recognised(cells, tmp_path):
    content = json.loads((cells / "panoptic.json").read_text())
    for entry in content["annotations"]:
        for segment in entry["segments_info"]:
            segment["category_id"] = {CELL: 0, SKY: 1}[segment["category_id"]]
    (tmp_path / "panoptic").symlink_to(cells / "panoptic")
    report = evaluate(cells, results=write(tmp_path / "r.json", content), split=None)
    assert report["metrics"]["PQ"] == 100 and "label ids from 0" in report["notes"][0]
