"""Published datasets in their authors' layout, without conversion."""

import shutil

import map_layouts
import numpy as np
import pytest
from map_layouts import SCENES, ade20k_map, draw_blocks, save

from unimask.datasets import describe, open_dataset, widest_task
from unimask.errors import DataError
from unimask.label_sets import known_labels


def segments_in(sample):
    """Return label id, crowd flag and number of pixels of each object."""
    counts = np.bincount(sample.id_maps.ravel(), minlength=len(sample.label_ids) + 1)[1:]
    return list(zip(sample.label_ids.tolist(), sample.crowds.tolist(), counts, strict=True))


def test_ade20k_counts_classes_from_one(tmp_path):
    dataset = open_dataset(map_layouts.ade20k(tmp_path), "train")
    assert dataset.labels == known_labels("ade20k") and widest_task(dataset) == "semantic"
    truth = np.array([-1, *dataset[1].label_ids])[dataset[1].id_maps[0]]
    assert (truth == ade20k_map(1).astype(int) - 1).all()
    assert (dataset[1].ignored == (ade20k_map(1) == 0)).all()
    assert "ADE20K" in describe(dataset) and "0 is ignored" in describe(dataset)


def test_ade20k_with_instances_is_panoptic_by_the_authors_rule(tmp_path):
    folder = map_layouts.ade20k_objects(tmp_path)
    sample, semantic = open_dataset(folder, "val")[0], ade20k_map(0)
    bed = known_labels("ade20k").names.index("bed")
    beds = [entry for entry in segments_in(sample) if entry[0] == bed]
    assert [pixels for *_, pixels in beds] == [12 * 11, 12 * 11]
    assert widest_task(open_dataset(folder, "val")) == "panoptic"
    covered = np.zeros(semantic.shape, bool)
    covered[:12, :11] = covered[12:24, 11:22] = True
    walls = [pixels for label, _, pixels in segments_in(sample) if label == 0]
    assert walls == [((semantic == 1) & ~covered).sum()]
    assert sample.ignored[(semantic == 8) & ~covered].all()
    map_path = folder / "annotations_instance" / "validation" / "ADE_val_00000000.png"
    save(map_path, np.full((48, 64, 3), 101, np.uint8))
    with pytest.raises(DataError, match=r"ADE_val_00000000\.png has value \d+ \(3072 pixels\)"):
        open_dataset(folder, "val")[0]


def test_ade20k_as_prepared_for_detectron2_and_full(tmp_path):
    folder = map_layouts.ade20k(tmp_path)
    for inner, split in SCENES:
        for index in range(3):
            path = folder / "annotations_detectron2" / inner / f"ADE_{split}_{index:08}.png"
            save(path, ade20k_map(index) - np.uint8(1))
    expected = [open_dataset(folder, "train")[index].id_maps for index in range(3)]
    shutil.rmtree(folder / "annotations")
    again = [open_dataset(folder, "train")[index].id_maps for index in range(3)]
    assert all((a == b).all() for a, b in zip(expected, again, strict=True))
    full = open_dataset(map_layouts.ade20k_full(tmp_path), "val")
    assert len(full.labels) == 847 and full[0].label_ids.tolist() == [0, 846]
    assert (full[0].ignored == (draw_blocks(0, 3) == 2)).all()


@pytest.mark.parametrize("split", ["train", "val"])
def test_cityscapes_objects_groups_and_ignored_regions(tmp_path, split):
    dataset = open_dataset(map_layouts.cityscapes(tmp_path), split)
    assert dataset.labels == known_labels("cityscapes") and len(dataset) == 2
    road, car = (dataset.labels.names.index(name) for name in ("road", "car"))
    sample = dataset[0]
    assert [entry[:2] for entry in segments_in(sample)] == [
        (road, False), (car, True), (car, False), (car, False),
    ]  # fmt: skip
    assert (sample.ignored == np.isin(draw_blocks(0, 6), (4, 5))).all()


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_cityscapes_without_instances_is_semantic(tmp_path, kind):
    folder = map_layouts.cityscapes(tmp_path)
    for path in folder.glob("gtFine/*/*/*_instanceIds.png"):
        path.unlink()
    if kind == "labelTrainIds":
        for path in folder.glob("gtFine/*/*/*_labelIds.png"):
            labels = draw_blocks(int(path.name.split("_")[1]), 6)
            path.unlink()
            train_ids = np.array([0, 13, 13, 13, 255, 255], np.uint8)[labels]
            save(path.with_name(path.name.replace("labelIds", kind)), train_ids)
    dataset = open_dataset(folder, "train")
    assert widest_task(dataset) == "semantic"
    assert dataset[0].label_ids.tolist() == [0, 13]
    assert (dataset[0].ignored == np.isin(draw_blocks(0, 6), (4, 5))).all()


def test_cityscapes_with_an_unknown_number_is_refused(tmp_path):
    folder = map_layouts.cityscapes(tmp_path)
    path = next(folder.glob("gtFine/train/aachen/*_instanceIds.png"))
    save(path, np.full((48, 64), 34001, np.uint16))
    with pytest.raises(DataError, match=r"instanceIds\.png has value 34001 \(3072 pixels\)"):
        list(map(open_dataset(folder, "train").__getitem__, range(2)))


def test_mapillary_objects_and_ignored_regions(tmp_path):
    folder = map_layouts.mapillary_vistas(tmp_path)
    dataset = open_dataset(folder, "val")
    assert dataset.labels.names == ("Bird", "Road") and dataset.labels.is_thing == (True, False)
    assert dataset.labels.colours == ((9, 8, 7), (9, 8, 7))
    assert dataset[0].label_ids.tolist() == [0, 0, 1]
    assert (dataset[0].ignored == (draw_blocks(0, 4) == 3)).all()
    for inner, _ in SCENES:
        shutil.rmtree(folder / inner / "instances")
    semantic = open_dataset(folder, "val")
    assert widest_task(semantic) == "semantic" and semantic[0].label_ids.tolist() == [0, 1]
    (folder / "config.json").write_text('{"labels": [{"readable": "Bird"}]}')
    with pytest.raises(DataError, match=r"config\.json is not Mapillary's configuration"):
        open_dataset(folder, "val")


def test_mapillary_in_the_folders_of_its_second_release(tmp_path):
    folder = map_layouts.mapillary_vistas(tmp_path)
    for inner, _ in SCENES:
        (folder / inner / "v2.0").mkdir()
        for kind in ("instances", "labels"):
            (folder / inner / kind).rename(folder / inner / "v2.0" / kind)
    (folder / "config.json").rename(folder / "config_v2.0.json")
    assert open_dataset(folder, "train")[0].label_ids.tolist() == [0, 0, 1]
