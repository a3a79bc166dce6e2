"""Pascal VOC's layout: as published, and as CVAT, Datumaro and LabelMe's converter export it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from published_layouts import NAMES, SIZE, VOC, draw_voc_maps, save_palette, write_voc

from unimask.curation import check
from unimask.datasets import describe, open_dataset, widest_task
from unimask.datasets.interface import DatasetOptions
from unimask.datasets.maps.class_and_object_maps import combine_maps
from unimask.datasets.opening import split_names
from unimask.errors import DataError


@pytest.mark.parametrize("painted", [False, True])
def test_classes_objects_borders_and_lists_as_published(tmp_path, painted):
    data = write_voc(tmp_path / "VOCdevkit" / "VOC2012", painted=painted)
    assert split_names(data, DatasetOptions()) == ("train", "val")
    for folder in (data, data.parent, tmp_path):
        train = open_dataset(folder, "train")
        assert len(train) == 4 and train.labels == VOC and widest_task(train) == "panoptic"
        assert train.info.format == "Pascal VOC with objects"
        sample = train[0]
        classes, objects = draw_voc_maps(0)
        assert sample.label_ids.tolist() == [13, 13, 15, 0] and not sample.crowds.any()
        assert (sample.ignored == (classes == 255)).all()
        order = (2, 1, 3) if painted else (1, 2, 3)  # of the colours, as numbers
        for number, value in enumerate(order, start=1):
            assert (sample.mask(number) == (objects == value)).all()
        assert (sample.mask(4) == (classes == 0)).all()
        assert open_dataset(folder, "val")[1].path.stem == NAMES[5]
    assert train.label_files(0) == [
        data / kind / f"{NAMES[0]}.png" for kind in ("SegmentationClass", "SegmentationObject")
    ]
    assert check(data).passed


def test_without_objects_the_task_is_semantic(tmp_path):
    data = write_voc(tmp_path / "VOC2012")
    for path in (data / "SegmentationObject").iterdir():
        path.unlink()
    dataset = open_dataset(data, "train")
    assert widest_task(dataset) == "semantic" and dataset.labels == VOC
    assert dataset[0].label_ids.tolist() == [0, 13, 15]
    assert (dataset[0].ignored == (draw_voc_maps(0)[0] == 255)).all()


def test_exports_of_cvat_name_their_classes_in_labelmap(tmp_path):
    """Names with blanks are in quotes there, and people have parts and actions."""
    names = ("scene 1/a", "scene 1/b c", "d")
    data = write_voc(tmp_path, names, painted=True, lists=False)
    (data / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nzebra:192,0,128::\n"
        "rider:192,128,128:head,hand,foot:jumping,other\nignored:224,224,192::\n"
    )
    (data / "ImageSets" / "Segmentation").mkdir(parents=True)
    lines = ('"scene 1/a"', '"scene 1/b c"', "d")
    (data / "ImageSets" / "Segmentation" / "default.txt").write_text("\n".join(lines))
    dataset = open_dataset(data)
    assert dataset.labels.names == ("background", "zebra", "rider") and len(dataset) == 3
    assert dataset.labels.is_thing == (False, True, True)
    assert dataset.labels.colours[1:] == ((192, 0, 128), (192, 128, 128))
    assert [path.stem for path in dataset.paths] == ["d", "a", "b c"]
    assert dataset[1].label_ids.tolist() == [1, 1, 2, 0]
    assert (dataset[1].ignored == (draw_voc_maps(0)[0] == 255)).all()
    assert "names of labelmap.txt" in describe(dataset)


def test_the_converter_of_labelme_lists_classes_by_value(tmp_path):
    data = write_voc(tmp_path, ("a", "b"), lists=False)
    names = ["_background_", *(f"thing {number}" for number in range(1, 21))]
    (data / "class_names.txt").write_text("\n".join(names))
    dataset = open_dataset(data)
    assert dataset.labels.names == tuple(names) and len(dataset.labels.things) == 20
    assert dataset[0].label_ids.tolist() == [13, 13, 15, 0]


def test_classes_of_other_images_are_not_taken_to_be_the_challenges(tmp_path):
    """The converters of other tools use the same palette for any classes."""
    dataset = open_dataset(write_voc(tmp_path, ("a", "b", "c"), lists=False))
    assert dataset.labels.names == ("class 0", "class 13", "class 15")
    assert dataset.labels.is_thing == (False, True, True)
    renamed = open_dataset(tmp_path, names=("background", "horse", "person"))
    assert renamed.labels.names == ("background", "horse", "person")
    assert renamed.labels.is_thing == (False, True, True)


def test_what_lists_and_objects_leave_out_is_said(tmp_path):
    data = write_voc(tmp_path / "VOC2012")
    (data / "ImageSets" / "Segmentation" / "train.txt").write_text("2007_000000\n2007_000099\n")
    (data / "SegmentationObject" / "2007_000005.png").unlink()
    message = describe(open_dataset(data, "train"))
    assert "1 images have no map: left out" in message
    assert "3 labelled images are in no list: left out" in message
    assert "1 maps of classes have no map of objects: left out" in message


def test_damaged_and_unfitting_maps_are_named(tmp_path):
    data = write_voc(tmp_path / "VOC2012")
    path = data / "SegmentationObject" / f"{NAMES[0]}.png"
    save_palette(path, np.ones((8, 8), np.uint8))
    with pytest.raises(DataError, match=r"SegmentationObject/2007_000000\.png is 8 x 8, but"):
        open_dataset(data, "train")[0]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"2007_000000\.png cannot be read as a mask"):
        open_dataset(data, "train")[0]
    save_palette(data / "SegmentationClass" / f"{NAMES[1]}.png", np.full(SIZE, 40, np.uint8))
    with pytest.raises(DataError, match=r"2007_000001\.png has value 40 .*Pascal VOC"):
        open_dataset(data, "train")[1]


def test_boxes_alone_are_refused_in_one_line(real_data):
    layout = real_data / "layouts" / "tests" / "assets" / "voc_dataset" / "voc_dataset3"
    if not layout.is_dir():
        pytest.skip(f"no published layouts at {layout}")
    with pytest.raises(DataError, match=r"2007_000001\.xml .* hold boxes of Pascal VOC"):
        open_dataset(layout)


def test_the_published_layout_of_another_tool(real_data):
    layout = real_data / "layouts" / "tests" / "assets" / "voc_dataset" / "voc_dataset1"
    if not layout.is_dir():
        pytest.skip(f"no published layouts at {layout}")
    dataset = open_dataset(layout)
    assert dataset.labels == VOC and len(dataset) == 1
    assert dataset[0].label_ids.tolist() == [VOC.names.index("bicycle")]
    assert dataset[0].mask(1).all()


@given(
    arrays(np.int32, (4, 5), elements=st.integers(-1, 2)),
    arrays(np.int32, (4, 5), elements=st.sampled_from([-1, 0, 1, 7, 300])),
)
def test_an_object_has_the_most_frequent_class_of_its_pixels(label_map, ids):
    is_thing = np.array([False, True, True])
    objects = combine_maps(label_map, ids, is_thing)
    number = 0
    covered = np.zeros(ids.shape, bool)
    for value in np.unique(ids[ids > 0]):
        counts = np.bincount(label_map[(ids == value) & (label_map >= 0)], minlength=3)
        if counts.any() and is_thing[counts.argmax()]:
            number += 1
            assert objects.label_ids[number - 1] == counts.argmax()
            assert ((objects.numbers == number) == (ids == value)).all()
            covered |= ids == value
    rest = ~covered & (ids >= 0) & (label_map >= 0)
    assert ((objects.numbers == 0) == ~(covered | rest)).all()
    assert (objects.label_ids[objects.numbers[rest] - 1] == label_map[rest]).all()
    assert objects.crowds[number:].tolist() == is_thing[objects.label_ids[number:]].tolist()
    assert not objects.crowds[:number].any()
