"""KITTI, KITTI-STEP and MOTS as published, and as CVAT and Datumaro export MOTS."""

import shutil

import numpy as np
import pytest
from map_layouts import draw_blocks, draw_photo, save
from published_layouts import kitti, kitti_mots, kitti_mots_text, kitti_step, mots_ids

from unimask.datasets import describe, open_dataset, widest_task
from unimask.datasets.interface import DatasetOptions
from unimask.datasets.opening import split_names
from unimask.datasets.videos import find_videos
from unimask.errors import DataError
from unimask.formats.run_length import RunLength
from unimask.label_sets import known_labels

CITY = known_labels("cityscapes")
NO_PIXELS = RunLength.from_mask(np.zeros((48, 64), bool)).to_coco()["counts"]
WALL, CAR, PERSON, RIDER, SKY = map(CITY.names.index, ("wall", "car", "person", "rider", "sky"))


def test_instances_groups_and_what_is_not_evaluated(tmp_path):
    data = kitti(tmp_path)
    for folder in (data, tmp_path):
        assert split_names(folder, DatasetOptions()) == ("train", "val")
        dataset = open_dataset(folder, "train")
        assert dataset.labels == CITY and len(dataset) == 5
    whole = open_dataset(data / "training")
    sample, blocks = whole[0], draw_blocks(0, 6)
    assert len(whole) == 6 and whole.info.ap == "cityscapes"
    assert sample.label_ids.tolist() == [WALL, CAR, CAR, CAR]
    assert sample.crowds.tolist() == [False, True, False, False]
    for number, block in enumerate((0, 3, 1, 2), start=1):
        assert (sample.mask(number) == (blocks == block)).all()
    assert (sample.ignored == (blocks >= 4)).all() and (sample.foreign == (blocks == 4)).all()


def test_without_instances_the_task_is_semantic(tmp_path):
    data = kitti(tmp_path)
    shutil.rmtree(data / "training" / "instance")
    dataset = open_dataset(data / "training")
    assert widest_task(dataset) == "semantic" and dataset[0].label_ids.tolist() == [WALL, CAR]
    assert (dataset[0].ignored == (draw_blocks(0, 6) >= 4)).all()
    shutil.rmtree(data / "training" / "semantic")
    (data / "training" / "label_2").mkdir()
    shutil.rmtree(data / "training" / "semantic_rgb")
    with pytest.raises(DataError, match="label_2 holds boxes of KITTI"):
        open_dataset(data)


def test_values_that_kitti_does_not_define_are_refused(tmp_path):
    data = kitti(tmp_path)
    path = data / "training" / "instance" / "000000_10.png"
    save(path, np.full((48, 64), 34 * 256 + 1, np.uint16))
    with pytest.raises(DataError, match=r"000000_10\.png has value 8705 .*KITTI"):
        open_dataset(data / "training")[0]


def test_step_has_persons_and_cars_as_things(tmp_path):
    data = kitti_step(tmp_path)
    for folder in (data, tmp_path):
        assert split_names(folder, DatasetOptions()) == ("train", "val")
        dataset = open_dataset(folder, "val")
        assert dataset.labels.names == CITY.names and dataset.labels.things == (PERSON, CAR)
    sample, blocks = dataset[0], draw_blocks(0, 5)
    assert [path.parent.name for path in dataset.paths] == ["0002"] * 3
    assert sample.label_ids.tolist() == [SKY, PERSON, RIDER, CAR]
    assert sample.crowds.tolist() == [False, False, False, True]
    assert sample.track_ids[1] == 4096 * 11 + 300 and find_videos(dataset)[0].name == "0002"
    assert (sample.mask(2) == (blocks == 1)).all() and (sample.ignored == (blocks == 4)).all()


@pytest.mark.parametrize("write", [kitti_mots, kitti_mots_text])
def test_mots_in_maps_and_in_text(tmp_path, write):
    data = write(tmp_path)
    for folder in (data, tmp_path):
        assert split_names(folder, DatasetOptions()) == ("train", "val")
        train, val = open_dataset(folder, "train"), open_dataset(folder, "val")
    assert (len(train), len(val)) == (6, 3)
    assert {path.parent.name for path in val.paths} == {"0002"}
    assert train.labels.names == ("car", "pedestrian", "background")
    sample, ids = train[1], mots_ids(1)
    masks = [sample.mask(number) for number in range(1, len(sample.label_ids) + 1)]
    expected = [(2, 0), (0, 1000), (0, 1005), (1, 2001)]
    assert sorted(sample.label_ids.tolist()) == [0, 0, 1, 2]
    for label, value in expected:
        assert any(
            (mask == (ids == value)).all() and sample.label_ids[number] == label
            for number, mask in enumerate(masks)
        )
    assert (sample.ignored == (ids == 10000)).all()
    tracks = {1000: 0, 1005: 0, 2001: 1}
    found = dict(zip(sample.track_ids.tolist(), sample.label_ids.tolist(), strict=True))
    assert tracks.items() <= found.items() and len(found) == 4
    assert [(v.name, v.frames) for v in find_videos(train)] == [
        ("0000", (0, 1, 2)),
        ("0001", (3, 4, 5)),
    ]


def test_motschallenge_counts_frames_from_one(tmp_path):
    source = kitti_mots_text(tmp_path / "source")
    for name in ("MOTS20-02", "MOTS20-05"):
        for number in range(3):
            save(
                tmp_path / "MOTS" / "train" / name / "img1" / f"{number:06}.jpg", draw_photo(number)
            )
        (tmp_path / "MOTS" / "train" / name / "gt").mkdir()
        target = tmp_path / "MOTS" / "train" / name / "gt" / "gt.txt"
        shutil.copy(source / "instances_txt" / "0000.txt", target)
    dataset = open_dataset(tmp_path / "MOTS", "train")
    assert len(dataset) == 4 and dataset.labels.names == ("car", "pedestrian", "background")
    whole = open_dataset(tmp_path / "MOTS")
    assert len(whole) == 6 and (whole[4].ignored == (mots_ids(1) == 10000)).all()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 1001 1 48", "is not 'frame id class height width run-lengths'"),
        ("0 1001 1 48 64 \x7f\x7f", "is not a compressed run length"),
        (f"0 3001 3 48 64 {NO_PIXELS}", "has class 3, but classes are 1, 2, 10"),
        (f"0 1001 1 -48 64 {NO_PIXELS}", "is not 'frame id class height width run-lengths'"),
        ("0 1001 1 8 8 P2", "has another size than its frame"),
    ],
)
def test_malformed_lines_are_named(tmp_path, line, reason):
    data = kitti_mots_text(tmp_path)
    path = data / "instances_txt" / "0000.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"0000\.txt: line \d+.*{reason}"):
        open_dataset(data, "train")


def test_exports_name_their_classes(real_data):
    """Datumaro's own fixture; class ids count the lines of labels.txt from 1."""
    layout = real_data / "layouts" / "tests" / "assets" / "mots_dataset"
    if not layout.is_dir():
        pytest.skip(f"no published layouts at {layout}")
    assert split_names(layout, DatasetOptions()) == ("train", "val")
    dataset = open_dataset(layout / "train")
    assert dataset.labels.names == ("a", "b", "c", "d", "background")
    read = [dataset.read(file) for file in dataset.maps]  # its images have another size
    assert [objects.label_ids.tolist() for objects in read] == [[4, 2, 3, 3], [4, 3]]
    assert read[0].numbers.tolist() == [[4, 4, 2, 3, 1]]


def test_the_published_layout_of_another_tool(real_data):
    layout = real_data / "layouts" / "tests" / "assets" / "kitti_dataset"
    if not layout.is_dir():
        pytest.skip(f"no published layouts at {layout}")
    dataset = open_dataset(layout / "kitti_segmentation" / "training")
    names = [[CITY.names[label] for label in sample.label_ids] for sample in dataset]
    assert names == [["truck", "truck"], ["wall", "train"]]
    assert "KITTI" in describe(dataset) and dataset[0].ignored.tolist() == [[1, 1, 0, 0, 0]]
    for name in ("kitti_detection", "kitti_3d"):
        with pytest.raises(DataError, match="holds boxes of KITTI"):
            open_dataset(layout / name)
