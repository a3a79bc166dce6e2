"""Label Studio's exports: regions in percent, names of uploads, and several annotators."""

import numpy as np
import pytest
from outlines import INSIDE, SIZE, SQUARE, draw, outline, write_json
from tool_exports import (
    pack_brush,
    percent,
    studio_polygon,
    studio_region,
    studio_task,
    write_label_studio,
    write_label_studio_min,
)

from unimask.datasets import describe, detect_format, open_dataset
from unimask.datasets.interface import DataWarning
from unimask.errors import DataError

pytest.importorskip("pycocotools.mask")


def write_results(folder, *results, **annotation):
    draw(folder, "a.png")
    write_json(folder / "export.json", [studio_task("a.png", list(results), **annotation)])
    return folder


def object_areas(sample):
    return [int(sample.mask(number + 1).sum()) for number in range(len(sample.label_ids))]


@pytest.mark.parametrize("writer", [write_label_studio, write_label_studio_min])
def test_exports_have_the_expected_classes_objects_and_pixels(tmp_path, writer):
    data = writer(tmp_path)
    assert detect_format(data).format == "Label Studio"
    dataset = open_dataset(data)
    assert dataset.labels.names == ("cap", "cat", "background")
    assert [path.name for path in dataset.paths] == [
        "a.png",
        "b.png",
        "c.png",
        "d.png",
        "empty.png",
    ]
    sample = dataset[0]
    assert sample.label_ids.tolist() == [1, 0, 2]
    assert np.array_equal(sample.mask(1), outline(SQUARE))
    assert np.array_equal(sample.mask(2), outline(INSIDE))


def test_brush_masks_have_exactly_their_pixels(tmp_path):
    mask = np.random.default_rng(0).random(SIZE) < 0.4
    region = studio_region("brushlabels", "cat", format="rle", rle=pack_brush(mask))
    assert np.array_equal(open_dataset(write_results(tmp_path, region))[0].mask(1), mask)


def test_rectangles_and_ellipses_turn_about_corner_and_centre(tmp_path):
    (x, y), (w, h) = percent([(32, 10)])[0], percent([(20, 8)])[0]
    data = write_results(
        tmp_path,
        studio_region("rectanglelabels", "cat", x=x, y=y, width=w, height=h, rotation=0),
        studio_region("rectanglelabels", "cat", x=x, y=y, width=w, height=h, rotation=90),
        studio_region(
            "ellipselabels", "cap", x=50, y=50, radiusX=w / 2, radiusY=h / 2, rotation=90
        ),
        studio_region("keypointlabels", "cap", x=5, y=5, width=0.3),
        {
            "type": "choices",
            "value": {"choices": ["blurred"]},
            "from_name": "q",
            "to_name": "image",
        },
    )
    with pytest.warns(DataWarning, match="without pixels are left out: 1 keypointlabels"):
        sample = open_dataset(data)[0]
    assert object_areas(sample)[:2] == [160, 160]
    assert sample.mask(1)[10:18, 32:52].all() and sample.mask(2)[10:30, 24:32].all()
    rows, columns = (sample.mask(3).any(axis=axis).nonzero()[0] for axis in (1, 0))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 8)


def test_a_shape_and_its_label_may_be_two_results(tmp_path):
    shape = studio_region("polygon", None, points=percent(SQUARE)) | {"id": "r1"}
    label = studio_region("labels", "cat", points=percent(SQUARE)) | {"id": "r1"}
    alone = studio_region("polygon", None, points=percent(INSIDE)) | {"id": "r2"}
    dataset = open_dataset(write_results(tmp_path, shape, label, alone))
    assert dataset.labels.names == ("cat", "background")
    assert dataset.count_things().tolist() == [1]
    assert "1 objects of unlabeled are neither object nor background" in describe(dataset)


def test_cancelled_annotations_and_predictions_are_not_read(tmp_path):
    data = write_results(tmp_path, studio_polygon("cat", SQUARE), was_cancelled=True)
    task = studio_task("b.png", [studio_polygon("cap", SQUARE)])
    draw(tmp_path, "b.png")
    write_json(tmp_path / "export2.json", [task])
    with pytest.warns(DataWarning, match="1 tasks without annotations are left out"):
        dataset = open_dataset(data)
    assert [path.name for path in dataset.paths] == ["b.png"]
    assert dataset.labels.names == ("cap", "background")


def test_of_several_annotations_the_ground_truth_or_the_latest_is_read(tmp_path):
    for name in ("a.png", "b.png"):
        draw(tmp_path, name)
    tasks = [studio_task("a.png", []), studio_task("b.png", [])]
    for task, marks in zip(tasks, ((True, False), (False, False)), strict=True):
        task["annotations"] = [
            {"result": [studio_polygon(label, SQUARE)], "ground_truth": mark, "updated_at": day}
            for label, mark, day in zip(
                ("cat", "cap"), marks, ("2024-01-01", "2024-02-01"), strict=True
            )
        ]
    write_json(tmp_path / "export.json", tasks)
    with pytest.warns(DataWarning, match="2 tasks have several annotations"):
        dataset = open_dataset(tmp_path)
    names = [dataset.labels.names[dataset[number].label_ids[0]] for number in range(2)]
    assert names == ["cat", "cap"]


def test_annotations_exported_to_cloud_storage_are_read(tmp_path):
    draw(tmp_path / "images", "a.png")
    task = {"id": 1, "data": {"image": "s3://bucket/pets/a.png"}}
    content = {"id": 3, "result": [studio_polygon("cat", SQUARE)], "task": task}
    write_json(tmp_path / "labels" / "3", content).rename(tmp_path / "labels" / "3.json")
    assert np.array_equal(open_dataset(tmp_path)[0].mask(1), outline(SQUARE))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("/data/upload/1/0a1b2c3d-a.png", "a.png"),
        ("/data/upload/1/0a1b2c3d-a.png", "0a1b2c3d-a.png"),
        ("/data/local-files/?d=pets/a.png", "pets/a.png"),
        ("https://host/x/a.png?token=1", "a.png"),
        ("C:\\pets\\a.png", "images/a.png"),
    ],
)
def test_images_are_found_by_name_with_and_without_the_prefix(tmp_path, name, found):
    task = studio_task("a.png", [studio_polygon("cat", SQUARE)])
    task["data"]["image"] = name
    draw(tmp_path, found)
    write_json(tmp_path / "export.json", [task])
    assert open_dataset(tmp_path).paths == [tmp_path / found]


def test_two_uploads_of_one_image_are_refused(tmp_path):
    tasks = [studio_task("a.png", [studio_polygon("cat", SQUARE)]) for _ in range(2)]
    tasks[1]["data"]["image"] = "/data/upload/1/ffffffff-a.png"
    draw(tmp_path, "a.png")
    write_json(tmp_path / "export.json", tasks)
    with pytest.raises(DataError, match=r"lists a\.png twice \(as .*0a1b.* and .*ffff"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([7], r"task 1: result\[0\]: expected object"),
        ([studio_polygon("cat", SQUARE) | {"original_width": None}], "lacks original_width"),
        (
            [studio_polygon("cat", SQUARE) | {"image_rotation": 90}],
            "rotated by 90.0 degrees: rotate",
        ),
        ([studio_region("polygonlabels", "cat", points=[[1]])], r"region 1\.points\[0\]: expected"),
        ([studio_region("vectorlabels", "cat", vertices=[])], "'vectorlabels', which is not read"),
        ([studio_region("brushlabels", "cat", rle=[0, 1])], "a brush mask that ends too early"),
        ([studio_region("polygonlabels", "cat", points=[[1, 1], [900, 1], [9, 9]])], "reaches"),
        (
            [studio_region("polygonlabels", "cat", points=percent(SQUARE), labels=["dog"])],
            "region 1 has the labels dog, cat: keep one",
        ),
        (
            [studio_polygon("cat", SQUARE), studio_polygon("cat", SQUARE) | {"original_width": 9}],
            "region 2 of .* was drawn on an image of another size",
        ),
    ],
)
def test_invalid_regions_are_named(tmp_path, results, reason):
    with pytest.raises(DataError, match=reason):
        open_dataset(write_results(tmp_path, *results))


def test_tasks_without_an_image_are_named(tmp_path):
    task = studio_task("a.png", [])
    task["data"] = {"text": "a cat"}
    write_json(tmp_path / "export.json", [task])
    with pytest.raises(DataError, match="task 1 has no image among its data"):
        open_dataset(tmp_path)


def test_polygons_with_too_few_points_are_left_out(tmp_path):
    data = write_results(tmp_path, studio_polygon("cat", SQUARE[:2]), studio_polygon("cap", SQUARE))
    with pytest.warns(DataWarning, match=r"region 1 of .* \(cat\) encloses nothing: left out"):
        assert open_dataset(data).count_things().tolist() == [1]
