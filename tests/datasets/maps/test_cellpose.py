"""cellpose's labels beside images, among them pickles, which are read without executing them."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from map_layouts import draw_photo, save
from published_layouts import SIZE, cellpose, cellpose_content, draw_cells

from unimask.curation import check
from unimask.datasets import describe, open_dataset
from unimask.datasets.interface import DatasetOptions
from unimask.datasets.maps.cellpose_file import read_cellpose_masks
from unimask.datasets.opening import split_names
from unimask.errors import DataError
from unimask.processing.images import list_images


def test_every_form_of_its_labels_is_read_by_split(tmp_path):
    data = cellpose(tmp_path)
    assert split_names(data, DatasetOptions()) == ("train", "val", "test")
    dataset = open_dataset(data, "test")
    assert [path.name for path in dataset.paths] == [
        *(f"00{n}_img.png" for n in range(3)), *(f"a{n}.png" for n in range(3)),
        *(f"b{n}.tif" for n in range(3)),
    ]  # fmt: skip
    assert dataset.labels.names == ("cell", "background")
    for index, sample in enumerate(dataset):
        ids = draw_cells(index % 3)
        assert sample.label_ids.tolist() == [0, 0, 0, 1] and sample.ignored is None
        for number, value in enumerate((3, 7, 300), start=1):
            assert (sample.mask(number) == (ids == value)).all()
    message = describe(dataset)
    for ending in ("_seg.npy", "_cp_masks.png", "_masks.tif"):
        assert f"6 read from *{ending}" in message
    assert dataset.label_files(3) == [data / "test" / "a0_seg.npy"]
    assert check(data, split="test").passed


def test_its_file_takes_precedence_over_exported_masks(tmp_path):
    save(tmp_path / "a.png", draw_photo(0))
    np.save(tmp_path / "a_seg.npy", cellpose_content(draw_cells(3)))
    save(tmp_path / "a_cp_masks.png", draw_cells(0))
    save(tmp_path / "b_cp_masks.png", draw_cells(0))
    dataset = open_dataset(tmp_path)
    assert (dataset[0].mask(1) == (draw_cells(3) == 3)).all()
    message = describe(dataset)
    assert "1 other label files of the same images are not read" in message
    assert "1 label files have no image: left out" in message and "b_cp_masks.png" in message


def test_its_files_are_no_images_to_predict(tmp_path):
    data = cellpose(tmp_path)
    assert not [path for path in list_images(data) if path.name.endswith("_seg.npy")]


class Harmful:
    """Object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_harmful_pickle_is_refused_and_not_executed(tmp_path):
    save(tmp_path / "a.png", draw_photo(0))
    content = cellpose_content(draw_cells(0)) | {"colors": Harmful(tmp_path / "made")}
    np.save(tmp_path / "a_seg.npy", content)
    with pytest.raises(DataError, match=r"a_seg\.npy requests posix\.mkdir.*nothing was executed"):
        open_dataset(tmp_path)[0]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"outlines": 0}, "has no masks"),
        ({"masks": [1, 2]}, "has no masks"),
        ({"masks": np.zeros((3, *SIZE), np.uint16)}, r"has shape \(3, 48, 64\)"),
        ({"masks": np.full(SIZE, -1)}, "negative"),
        ({"masks": np.zeros((8, 8), np.uint16)}, "is 8 x 8, but its image"),
        ([1], "is not a file of cellpose, or is damaged"),
    ],
)
def test_files_without_masks_of_the_image_are_refused_in_one_line(tmp_path, content, reason):
    save(tmp_path / "a.png", draw_photo(0))
    holder = np.empty((), object)
    holder[()] = content
    np.save(tmp_path / "a_seg.npy", holder)
    with pytest.raises(DataError, match=reason):
        open_dataset(tmp_path)[0]


def test_truncated_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "a_seg.npy"
    np.save(path, cellpose_content(draw_cells(0)))
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 23):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a_seg\.npy is not a file of cellpose, or is damaged"):
            read_cellpose_masks(path)


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.int64, np.uint32]),
        array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.integers(0, 200),
    ),
    st.sampled_from([2, 3, 4, 5]),
)
def test_any_masks_are_read_like_numpy(tmp_path_factory, masks, protocol):
    path = tmp_path_factory.mktemp("seg") / "a_seg.npy"
    np.save(path, cellpose_content(masks))
    assert (read_cellpose_masks(path) == masks).all()
    holder = np.empty((), object)
    holder[()] = {"masks": np.asfortranarray(masks)}
    head = path.read_bytes()[:128]
    path.write_bytes(head + pickle.dumps(holder, protocol))
    assert (read_cellpose_masks(path) == masks).all()
