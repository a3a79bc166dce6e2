"""A mask per object, of known classes: Label Studio's brush masks, and Open Images."""

import numpy as np
import pytest
from map_layouts import save
from PIL import Image
from published_layouts import SIZE, draw_cells, label_studio_brush, open_images

from unimask.datasets import describe, open_dataset
from unimask.datasets.interface import DatasetOptions
from unimask.datasets.opening import split_names
from unimask.errors import DataError


def test_brush_masks_have_their_labels_in_their_names(tmp_path):
    dataset = open_dataset(label_studio_brush(tmp_path))
    assert dataset.labels.names == ("Big tree-A", "Car", "background") and len(dataset) == 2
    assert [path.name for path in dataset.paths] == ["3.jpg", "12.jpg"]
    sample, ids = dataset[1], draw_cells(2)
    assert sample.label_ids.tolist() == [0, 1, 1, 2] and sample.ignored is None
    for number, value in enumerate((300, 3, 7), start=1):
        assert (sample.mask(number) == (ids == value)).all()
    assert len(dataset.label_files(1)) == 3


def test_the_latest_annotation_of_a_task_is_read(tmp_path):
    data = label_studio_brush(tmp_path)
    mask = np.zeros(SIZE, np.uint8)
    mask[:5, :9] = 255
    save(data / "task-3-annotation-99-by-anna@a.org-tag-Car-0.png", mask)
    dataset = open_dataset(data)
    assert dataset[0].label_ids.tolist() == [1, 2] and dataset[0].mask(1).sum() == 45
    assert "1 tasks have several annotations, the latest is read" in describe(dataset)


def test_tasks_whose_images_are_unknown_are_refused_with_what_to_add(tmp_path):
    data = label_studio_brush(tmp_path)
    (data / "images" / "12.jpg").rename(data / "images" / "b.jpg")
    with pytest.raises(DataError, match=r"is a mask of task 12, .*export of the tasks as JSON"):
        open_dataset(data)


def test_brush_masks_of_different_sizes_are_named(tmp_path):
    data = label_studio_brush(tmp_path)
    save(data / "task-3-annotation-43-by-1-tag-Car-1.png", np.ones((8, 8), np.uint8))
    with pytest.raises(DataError, match=r"tag-Car-1\.png is 8 x 8, but .* of the same image"):
        open_dataset(data)[0]


def test_open_images_masks_are_scaled_to_their_images(tmp_path):
    data = open_images(tmp_path)
    for folder in (data, tmp_path):
        assert split_names(folder, DatasetOptions()) == ("train", "val")
        dataset = open_dataset(folder, "val")
        assert dataset.labels.names == ("Car", "Person", "background") and len(dataset) == 2
    sample = dataset[0]
    car, person = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    car[4:28, 8:40], person[16:28, 8:32] = True, True
    by_label = dict(zip(sample.label_ids.tolist(), range(1, 4), strict=True))
    assert (sample.mask(by_label[0]) == car).all() and (sample.mask(by_label[1]) == person).all()
    assert (sample.front[person] == by_label[1]).all()  # the smaller one
    assert (sample.mask(by_label[2]) == ~car).all()


def test_open_images_leaves_out_what_is_not_here_and_says_so(tmp_path):
    data = open_images(tmp_path)
    next((data / "images" / "train").iterdir()).unlink()
    sorted((data / "masks" / "train").iterdir())[-1].unlink()
    dataset = open_dataset(data, "train")
    assert len(dataset) == 2 and "3 masks are left out" in describe(dataset)


def test_open_images_masks_of_another_shape_are_named(tmp_path):
    data = open_images(tmp_path)
    path = sorted((data / "masks" / "validation").iterdir())[0]
    save(path, np.ones((20, 20), bool))
    with pytest.raises(DataError, match=rf"{path.name} is 20 x 20, but its image .* is 48 x 64"):
        open_dataset(data, "val")[0]


def test_an_unreadable_list_is_named(tmp_path):
    data = open_images(tmp_path)
    path = data / "annotations" / "train-annotations-object-segmentation.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"segmentation\.csv lacks one of the columns MaskPath"):
        open_dataset(data, "val")


def test_the_published_layout_of_another_tool(real_data):
    layout = real_data / "layouts" / "tests" / "assets" / "open_images_dataset" / "v6"
    if not layout.is_dir():
        pytest.skip(f"no published layouts at {layout}")
    dataset = open_dataset(layout)
    assert dataset.labels.names == ("Generic label #0", "background") and len(dataset) == 1
    with Image.open(layout / "masks" / "train" / "b_m0_01234567.png") as image:
        assert (dataset[0].mask(1) == np.asarray(image)).all() and dataset[0].mask(1).any()
