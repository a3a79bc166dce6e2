"""The Cell Tracking Challenge's layout: gold and silver truth, markers, and sequences."""

import numpy as np
import pytest
from map_layouts import save
from PIL import Image
from published_layouts import SIZE, cell_tracking, draw_cells

from unimask.curation import check
from unimask.datasets import describe, open_dataset, widest_task
from unimask.errors import DataError


def test_gold_truth_is_read_and_cells_that_are_only_marked_are_ignored(tmp_path):
    data = cell_tracking(tmp_path)
    for folder in (data, tmp_path):
        dataset = open_dataset(folder)
        assert dataset.labels.names == ("cell", "background") and widest_task(dataset) == "panoptic"
        assert [path.parent.name + path.stem for path in dataset.paths] == [
            "01t001", "01t004", "02t001", "02t004",
        ]  # fmt: skip
        sample = dataset[1]
        ids = draw_cells(4)
        assert sample.label_ids.tolist() == [0, 0, 1]
        assert (sample.mask(1) == (ids == 3)).all() and (sample.mask(2) == (ids == 300)).all()
        assert sample.ignored.sum() == 8 * 11 and (ids[sample.ignored] == 7).all()
    message = describe(dataset)
    assert "gold truth (GT/SEG) of 4 frames" in message and "8 images have no map" in message
    assert "cells that only GT/TRA marks" in message
    assert [path.name for path in dataset.label_files(1)] == ["man_seg004.tif", "man_track004.tif"]
    assert check(data).passed


def test_silver_truth_is_read_for_frames_without_gold_truth(tmp_path):
    data = cell_tracking(tmp_path)
    for frame in range(6):
        save(data / "01_ST" / "SEG" / f"man_seg{frame:03}.tif", draw_cells(frame))
    dataset = open_dataset(data)
    assert len(dataset) == 6 + 2
    assert [len(dataset[index].label_ids) for index in range(6)] == [4, 3, 4, 4, 3, 4]
    message = describe(dataset)
    assert "gold truth (GT/SEG) of 4 frames; silver truth (ST/SEG) of 4 frames" in message


def test_validation_takes_the_last_frames_of_each_sequence(tmp_path):
    data = cell_tracking(tmp_path)
    for sequence in ("01", "02"):
        for frame in range(6):
            save(data / f"{sequence}_ST" / "SEG" / f"man_seg{frame:03}.tif", draw_cells(frame))
    val = open_dataset(data, "val")
    assert [path.parent.name + path.stem for path in val.paths] == ["01t005", "02t005"]
    assert "the last fifth of 2 sequences is set aside" in describe(val)


def test_names_can_be_given(tmp_path):
    dataset = open_dataset(cell_tracking(tmp_path), names=("nucleus", "background"))
    assert dataset.labels.names == ("nucleus", "background")


def test_markers_alone_are_no_masks(tmp_path):
    data = cell_tracking(tmp_path)
    for path in data.glob("*_GT/SEG/*.tif"):
        path.unlink()
    with pytest.raises(DataError, match=r"has markers of cells, .*--masks TRA"):
        open_dataset(data)
    dataset = open_dataset(data, masks="TRA", format="instance ids")
    assert len(dataset) == 12 and len(dataset[0].label_ids) == 4


def test_volumes_are_refused(tmp_path):
    data = cell_tracking(tmp_path)
    page = Image.fromarray(np.zeros(SIZE, np.uint8))
    for path in data.glob("0?/*.tif"):
        page.save(path, save_all=True, append_images=[page])
    with pytest.raises(DataError, match=r"t001\.tif belongs to volumes"):
        open_dataset(data)
    for path in data.glob("*_GT/SEG/*.tif"):
        path.rename(path.with_name(path.name.replace("man_seg", "man_seg_000_")))
    with pytest.raises(DataError, match=r"man_seg_000_001\.tif belongs to volumes"):
        open_dataset(data)


def test_markers_of_another_size_are_named(tmp_path):
    data = cell_tracking(tmp_path)
    save(data / "01_GT" / "TRA" / "man_track001.tif", np.zeros((8, 8), np.uint16))
    with pytest.raises(DataError, match=r"man_track001\.tif is 8 x 8, but"):
        open_dataset(data)[0]
