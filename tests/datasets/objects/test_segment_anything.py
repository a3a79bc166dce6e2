"""Masks without classes, in a JSON beside each image, as SA-1B has them."""

import numpy as np
import pytest
from outlines import SQUARE, draw, outline, write_json
from tool_exports import sam_content, write_segment_anything

from unimask.datasets import detect_format, open_dataset
from unimask.datasets.interface import DataWarning
from unimask.errors import DataError, SettingsError

pytest.importorskip("pycocotools.mask")


def test_masks_are_objects_of_one_class(tmp_path):
    data = write_segment_anything(tmp_path)
    assert detect_format(data).format == "Segment Anything"
    dataset = open_dataset(data)
    assert dataset.labels.names == ("object", "background")
    assert dataset.count_things().tolist() == [2, 1, 2, 1, 0]
    assert np.array_equal(dataset[0].mask(1), outline(SQUARE))
    assert open_dataset(data, names=("thing",)).labels.names == ("thing", "background")
    with pytest.raises(SettingsError, match="has 2 names, but"):
        open_dataset(data, names=("cat", "cap"))


def test_folders_may_be_splits(tmp_path):
    for split in ("train", "val"):
        write_segment_anything(tmp_path / split)
    assert [len(open_dataset(tmp_path, split)) for split in ("train", "val")] == [5, 5]


def test_the_layout_of_another_projects_tests_is_read(real_data):
    """Of the two images, one has a mask of 4 pixels, and the other an empty one of another size."""
    layout = real_data / "layouts" / "tests" / "assets" / "segment_anything_dataset"
    if not layout.is_dir():
        pytest.skip(f"no published layouts at {layout}")
    with pytest.warns(DataWarning, match="left out: 1 empty mask"):
        dataset = open_dataset(layout)
    assert [path.name for path in dataset.paths] == ["a.jpg", "b.jpg"]
    mask = np.zeros((5, 10), bool)
    mask[1:5, 3] = True
    assert np.array_equal(dataset[0].mask(1), mask)
    assert dataset[1].label_ids.tolist() == [1]


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [48, 64], "counts": [5]}, r"mask 1 of a\.png has no mask that can be read"),
        ({"size": [48, 60], "counts": [5, 2875]}, "has a mask of 60 x 48 pixels, its image has"),
        (7, "has neither polygons nor run lengths"),
    ],
)
def test_masks_that_are_none_are_named(tmp_path, segmentation, reason):
    draw(tmp_path, "a.png")
    content = sam_content("a.png", [])
    content["annotations"] = [{"id": 1, "segmentation": segmentation}]
    write_json(tmp_path / "a.json", content)
    with pytest.raises(DataError, match=reason):
        open_dataset(tmp_path)
