"""Folders of any name: pairing of images and maps, and the meaning of values."""

import json

import map_layouts
import numpy as np
import pytest
from map_layouts import AERIAL, STREETS, draw_blocks, draw_photo, paint, save
from PIL import Image

from unimask.datasets import check_tasks, describe, open_dataset, widest_task
from unimask.errors import DataError, TaskError
from unimask.label_sets import known_labels


def labels_in(sample):
    """Return the label id of each pixel, -1 where it is ignored."""
    return np.array([-1, *sample.label_ids])[sample.id_maps[0]]


def test_colour_masks_in_nested_tiles(tmp_path):
    folder = map_layouts.aerial_tiles(tmp_path)
    dataset = open_dataset(folder)
    assert len(dataset) == 6 and dataset.labels.names == tuple(AERIAL)[:3]
    assert dataset.labels.colours[0] == (0xE2, 0xA9, 0x29)
    assert not any(dataset.labels.is_thing)
    assert dataset[2].path == folder / "Tile 2" / "images" / "image_part_001.jpg"
    expected = draw_blocks(21, 4).astype(int)
    assert (labels_in(dataset[2]) == np.where(expected == 3, -1, expected)).all()
    assert (dataset[2].ignored == (expected == 3)).all()
    message = describe(dataset)
    assert (
        "a colour per class" in message
        and "classes.json" in message
        and "ignored: Unlabeled" in message
    )
    training, validation = (open_dataset(folder, split) for split in ("train", "val"))
    assert len(training) == 4 and len(validation) == 2, "whole tiles are set aside for validation"
    assert len({path.parts[-3] for path in validation.paths}) == 1


def test_unusual_folder_names_define_the_split(tmp_path):
    folder = map_layouts.segnet_streets(tmp_path)
    assert [len(open_dataset(folder, s)) for s in ("train", "val", "test", None)] == [4, 2, 1, 4]
    dataset = open_dataset(folder, "val")
    assert dataset.labels.names == tuple(STREETS[:4])
    expected = draw_blocks(1, 5).astype(int)
    assert (labels_in(dataset[1]) == np.where(expected == 4, -1, expected)).all()


def test_camvid_of_segnet_is_known_without_a_table(tmp_path):
    folder = map_layouts.segnet_camvid(tmp_path)
    dataset = open_dataset(folder, "val")
    camvid = known_labels("camvid")
    assert dataset.labels == camvid and (camvid.names[0], camvid.names[10]) == ("sky", "bicyclist")
    expected = draw_blocks(1, 12).astype(int)
    assert (labels_in(dataset[1]) == np.where(expected == 11, -1, expected)).all()
    assert "names of CamVid" in describe(dataset) and "ignored: void" in describe(dataset)
    assert [len(open_dataset(folder, s)) for s in ("train", "val", "test")] == [2, 2, 2]
    names = tuple("abcdefghijk")
    assert open_dataset(folder, names=names).labels.names == names
    for path in folder.rglob("*.png"):
        path.rename(path.with_name(f"other_{path.name}"))
    assert len(open_dataset(folder, "val").labels) == 12


def test_published_aerial_colours_are_used_where_the_table_differs(tmp_path):
    dataset = open_dataset(map_layouts.dubai_tiles(tmp_path))
    assert dataset.labels == known_labels("dubai_aerial")
    expected = draw_blocks(11, 7).astype(int)
    assert (labels_in(dataset[0]) == np.where(expected > 4, -1, expected)).all()
    assert "aerial images of Dubai, ignored: void" in describe(dataset)


def test_classes_named_void_are_ignored(tmp_path):
    folder = map_layouts.prepped_streets(tmp_path)
    dataset = open_dataset(folder, names=("sky", "Void", "road", "car"))
    assert dataset.labels.names == ("sky", "road", "car")
    expected = np.array([0, -1, 1, 2])[draw_blocks(0, 4)]
    assert (labels_in(dataset[0]) == expected).all()
    assert "ignored: 255, ignored: Void" not in describe(dataset) and "Void" in describe(dataset)
    with pytest.raises(DataError, match="all names mean that nothing is known"):
        open_dataset(folder, names=("void", "unknown", "ignore", "void "))


def test_suffixes_and_a_table_in_csv(tmp_path):
    dataset = open_dataset(map_layouts.camvid_streets(tmp_path), "train")
    assert dataset.labels.names == tuple(STREETS[:4])
    assert labels_in(dataset[0]).min() == -1 and labels_in(dataset[0]).max() == 3


def test_classes_without_a_table_are_named_by_value_and_reported(tmp_path):
    folder = map_layouts.prepped_streets(tmp_path)
    dataset = open_dataset(folder, "test")
    assert dataset.labels.names == ("class 0", "class 1", "class 2", "class 3")
    assert "no table names them" in describe(dataset)
    named = open_dataset(folder, "train", names=("a", "b", "c", "d"))
    assert named.labels.names == ("a", "b", "c", "d") and len(named) == 4
    with pytest.raises(DataError, match="2 names, but the maps have 4 classes"):
        open_dataset(folder, names=("a", "b"))


def test_binary_masks_beside_their_images(tmp_path):
    dataset = open_dataset(map_layouts.binary_masks(tmp_path))
    assert len(dataset) == 6 and dataset.labels.names == ("background", "foreground")
    assert (labels_in(dataset[3]) == draw_blocks(3, 2)).all()
    assert dataset[3].path.name == "3_sat.jpg"


def test_palettes_are_read_by_index_and_255_is_ignored(tmp_path):
    dataset = open_dataset(map_layouts.palette_maps(tmp_path))
    assert len(dataset.labels) == 3
    assert dataset[0].ignored[:, :3].all() and dataset[0].ignored.sum() == 3 * 48


def test_blurred_binary_masks_are_thresholded_and_reported(tmp_path):
    dataset = open_dataset(map_layouts.blurred_masks(tmp_path))
    assert (labels_in(dataset[0]) == draw_blocks(0, 2)).mean() > 0.98
    assert "cut at 128" in describe(dataset)


def test_single_pieces_that_vary_in_number_are_objects(tmp_path):
    folder = map_layouts.nuclei_like(tmp_path)
    dataset = open_dataset(folder)
    assert dataset.labels.is_thing == (True, False) and len(dataset[5].label_ids) == 14
    assert "instance ids" in describe(dataset)
    semantic = open_dataset(folder, format="semantic maps")
    assert len(semantic.labels) == 14 and widest_task(semantic) == "semantic"


def test_folders_with_uninformative_names_are_inspected(tmp_path):
    for index in range(5):
        save(tmp_path / "a" / f"{index}.png", draw_photo(index))
        save(tmp_path / "b" / f"{index}.png", draw_blocks(index, 3))
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 5 and dataset.paths[0].parent.name == "a"


def test_one_split_alone_and_outer_folders_that_are_called_like_maps(tmp_path):
    folder = tmp_path / "streets"
    for index in range(5):
        save(folder / "segmentation" / "val" / f"{index}.jpg", draw_photo(index))
        save(folder / "segmentation" / "valannot" / f"{index}.png", draw_blocks(index, 3))
    assert len(open_dataset(folder, "val")) == 5
    with pytest.raises(DataError, match="no split 'train': it has val"):
        open_dataset(folder, "train")


def test_maps_beside_their_images_by_suffix_alone(tmp_path):
    for index in range(5):
        save(tmp_path / "images" / f"{index}.jpg", draw_photo(index))
        save(tmp_path / "images" / f"{index}.png", draw_blocks(index, 3))
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 5 and dataset.paths[0].suffix == ".jpg"


def test_other_images_of_the_same_names_are_passed_over(tmp_path):
    for index in range(5):
        save(tmp_path / "depth" / f"{index}.png", draw_photo(index)[..., 0])
        save(tmp_path / "images" / f"{index}.jpg", draw_photo(index))
        save(tmp_path / "labels" / f"{index}.png", draw_blocks(index, 3))
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 5 and dataset.paths[0].parent.name == "images"


def test_splits_outside_and_inside(tmp_path):
    for split in ("train", "val"):
        for index in range(2):
            labels = draw_blocks(index, 3)
            save(tmp_path / "outside" / "images" / split / f"{index}.jpg", draw_photo(index))
            save(tmp_path / "outside" / "masks" / split / f"{index}.png", labels)
            save(tmp_path / "inside" / split / "images" / f"{index}.jpg", draw_photo(index))
            save(tmp_path / "inside" / split / "masks" / f"{index}.png", labels)
    for kind in ("outside", "inside"):
        for split in ("train", "val"):
            dataset = open_dataset(tmp_path / kind, split)
            assert len(dataset) == 2
            assert all(split in path.parts for path in (*dataset.paths, *dataset.maps))


def test_list_files_define_the_splits(tmp_path):
    folder = map_layouts.palette_maps(tmp_path)
    save(folder / "JPEGImages" / "2008_1.jpg", draw_photo(9))
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_0\n2007_2\n2007_3\n")
    (lists / "val.txt").write_text("2007_1\n")
    assert [len(open_dataset(folder, split)) for split in ("train", "val")] == [3, 1]
    (lists / "train.txt").unlink()
    (lists / "val.txt").rename(folder / "valid.txt")
    (folder / "valid.txt").write_text("JPEGImages/2007_1.jpg SegmentationClass/2007_1.png\n")
    assert [len(open_dataset(folder, split)) for split in ("train", "val")] == [5, 1]


def test_label_ids_take_precedence_over_colours(tmp_path):
    for index in range(5):
        labels = draw_blocks(index, 4)
        save(tmp_path / "images" / f"{index}.jpg", draw_photo(index))
        save(tmp_path / "labels_color" / f"{index}.png", paint(labels, AERIAL.values()))
        save(tmp_path / "labels_raw" / f"{index}.png", labels)
    assert open_dataset(tmp_path).maps[0].parent.name == "labels_raw"


def test_images_without_a_map_are_left_out_and_reported(tmp_path):
    folder = map_layouts.palette_maps(tmp_path)
    save(folder / "JPEGImages" / "2008_1.jpg", draw_photo(9))
    dataset = open_dataset(folder)
    assert len(dataset) == 6
    assert "1 images have no map: left out" in describe(dataset)


@pytest.mark.parametrize(("colours", "fits"), [(AERIAL, True), (("#010101",) * 4, False)])
def test_tables_of_other_colours_are_not_used(tmp_path, colours, fits):
    folder = map_layouts.aerial_tiles(tmp_path)
    values = list(colours.values()) if fits else list(colours)
    rows = [{"name": n, "color": c} for n, c in zip(AERIAL, values, strict=True)]
    (folder / "classes.json").write_text(json.dumps({"classes": rows}))
    dataset = open_dataset(folder)
    assert ("#6ec1e4" in dataset.labels.names) is not fits
    assert ("most are not those of classes.json" in describe(dataset)) is not fits


def test_values_missing_from_the_table_are_refused_with_file_and_count(tmp_path):
    folder = map_layouts.aerial_tiles(tmp_path)
    broken = folder / "Tile 2" / "masks" / "image_part_002.png"
    labels = paint(draw_blocks(22, 4), AERIAL.values())
    labels[0, :5] = (1, 2, 3)
    save(broken, labels)
    with pytest.raises(DataError, match=r"image_part_002\.png has colour #010203 \(5 pixels\)"):
        open_dataset(folder)[3]
    folder = map_layouts.segnet_streets(tmp_path / "streets")
    labels = draw_blocks(0, 5)
    labels[0, :5] = 77
    (folder / "classes.json").write_text(json.dumps({n: i for i, n in enumerate(STREETS)}))
    (folder / "classes.txt").unlink()
    save(folder / "trainannot" / "0001TP_train000.png", labels)
    with pytest.raises(DataError, match=r"train000\.png has value 77 \(5 pixels\)"):
        open_dataset(folder)[0]


def test_a_map_of_another_size_is_refused(tmp_path):
    folder = map_layouts.segnet_streets(tmp_path)
    save(folder / "trainannot" / "0001TP_train000.png", draw_blocks(0, 5)[:40])
    with pytest.raises(DataError, match=r"0001TP_train000\.png is 40 x 64, but its image"):
        open_dataset(folder)[0]


def test_smoothed_colours_are_refused(tmp_path):
    for index in range(5):
        labels = Image.fromarray(paint(draw_blocks(index, 4), AERIAL.values()))
        save(tmp_path / "images" / f"{index}.jpg", draw_photo(index, (96, 128)))
        blurred = labels.resize((128, 96), Image.Resampling.BICUBIC)
        save(tmp_path / "masks" / f"{index}.png", np.array(blurred))
    with pytest.raises(DataError, match="colours, too many for label maps"):
        open_dataset(tmp_path)


def test_semantic_labels_cannot_supervise_objects(tmp_path):
    dataset = open_dataset(map_layouts.prepped_streets(tmp_path))
    check_tasks(dataset, ("semantic",))
    with pytest.raises(TaskError, match="panoptic needs objects one by one"):
        check_tasks(dataset, ("semantic", "panoptic"))


def test_formats_that_do_not_match_the_folder_are_refused(tmp_path):
    folder = map_layouts.prepped_streets(tmp_path)
    with pytest.raises(DataError, match="may be semantic maps or instance ids"):
        open_dataset(folder, format="COCO panoptic")
