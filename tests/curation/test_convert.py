"""Converting datasets to other formats, and round trips."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_discs
from outlines import write_roboflow, write_yolo
from PIL import Image

from unimask.curation import convert
from unimask.curation.convert import unused_name
from unimask.curation.writers.coco import CocoWriter
from unimask.curation.writers.instance_ids import InstanceIdWriter
from unimask.curation.writers.semantic import SemanticWriter
from unimask.curation.writers.yolo import YoloWriter
from unimask.datasets import Sample, open_dataset
from unimask.errors import DataError, OutputError, SettingsError
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet


def sorted_objects(sample):
    """Return objects as (label, crowd, mask), sorted."""
    found = [
        (int(label), bool(crowd), sample.mask(number).tobytes())
        for number, (label, crowd) in enumerate(
            zip(sample.label_ids, sample.crowds, strict=True), start=1
        )
    ]
    return sorted(found)


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert (one.image == other.image).all()
        assert sorted_objects(one) == sorted_objects(other)
        assert (one.ignored is None) == (other.ignored is None)
        assert one.ignored is None or (one.ignored == other.ignored).all()


@pytest.mark.parametrize("to", ["coco-panoptic", "instance-ids"])
def test_instance_ids_round_trip(tmp_path, to):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 2})
    written = convert(data, tmp_path / "out", to=to, names=("disc", "ground"))
    assert written.images == {"train": 3, "val": 2} and not written.notes
    for split in ("train", "val"):
        converted = open_dataset(tmp_path / "out", split)
        assert converted.labels == LabelSet(("disc", "ground"), (True, False))
        assert_equal(open_dataset(data, split), converted)


def test_real_panoptic_photographs_round_trip(tmp_path, real_data):
    data = real_data / "coco_open"
    written = convert(data, tmp_path / "out", to="coco-panoptic", link=True)
    assert written.images == {"train": 21, "val": 5}
    for split in ("train", "val"):
        converted = open_dataset(tmp_path / "out", split)
        assert converted.labels == open_dataset(data).labels
        assert_equal(open_dataset(data, split), converted)
    assert all(os.path.islink(path) for path in (tmp_path / "out" / "train").iterdir())


def overlapping_sample(path=Path("a.png")):
    """Return a large thing, a small one inside it, and stuff elsewhere; one corner is ignored."""
    layers = np.zeros((3, 8, 9), np.int32)
    layers[0, :, :6], layers[1, 1:7, 1:7], layers[2, 3:5, 3:5] = 3, 2, 1
    return Sample(
        image=np.zeros((8, 9, 3), np.uint8),
        id_maps=layers,
        label_ids=np.array([0, 0, 1]),
        crowds=np.zeros(3, bool),
        ignored=np.logical_not(layers.any(0)),
        path=path,
    )


LABELS = LabelSet(("cell", "ground"), (True, False))


def test_overlaps_are_decided_by_order_and_counted(tmp_path):
    writer = SemanticWriter(tmp_path, LABELS)
    writer.add("train", overlapping_sample(), "a.png")
    values = np.asarray(Image.open(tmp_path / "train" / "masks" / "a.png"))
    assert values[3, 3] == 0 and values[0, 0] == 1 and values[0, 8] == 255
    # The small object covers the large one, and both cover the ground.
    assert writer.lost == {"pixels of objects behind others": 4 + 30}


def test_coco_keeps_objects_whole_that_others_cover(tmp_path):
    writer = CocoWriter(tmp_path, LABELS)
    writer.add("train", overlapping_sample(), "a.png")
    writer.finish("train")
    content = json.loads((tmp_path / "annotations" / "instances_train.json").read_text())
    masks = [RunLength.from_coco(a["segmentation"]).to_mask() for a in content["annotations"]]
    assert [int(mask.sum()) for mask in masks] == [4, 36]
    assert content["annotations"][1]["bbox"] == [1, 1, 6, 6]
    assert [c["name"] for c in content["categories"]] == ["cell"]
    assert writer.lost == {"regions of stuff": 1, "pixels without ground truth": 18}


def test_conversion_to_coco_reports_lost_unlabelled_pixels(tmp_path):
    """They become background, which is reported."""
    writer, sample = CocoWriter(tmp_path, LABELS), overlapping_sample()
    writer.add("train", replace(sample, ignored=np.eye(*sample.size) > 0), "a.png")
    assert writer.lost["pixels without ground truth"] == min(sample.size)


def test_label_maps_with_many_classes_have_16_bits(tmp_path):
    many = LabelSet(tuple(f"c{i}" for i in range(300)), (False,) * 300)
    sample = overlapping_sample()
    object.__setattr__(sample, "label_ids", np.array([5, 280, 299]))
    SemanticWriter(tmp_path, many).add("train", sample, "a.png")
    values = np.asarray(Image.open(tmp_path / "train" / "masks" / "a.png"))
    assert sorted(np.unique(values)) == [5, 280, 299, 65535]


def test_conversion_overwrites_nothing_and_leaves_no_partial_output(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 2})
    with pytest.raises(OutputError, match="not empty"):
        convert(data, data, to="semantic")
    (data / "val" / "images" / "1.png").write_bytes(b"")
    with pytest.raises(Exception, match="0 bytes"):
        convert(data, tmp_path / "out", to="semantic")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["discs"]
    with pytest.raises(SettingsError, match="choose one of coco, coco-panoptic"):
        convert(data, tmp_path / "out", to="voc")


def test_formats_that_cannot_store_classes_report_it(tmp_path):
    stuff = LabelSet(("road", "sky"), (False, False))
    with pytest.raises(DataError, match="all classes are stuff"):
        CocoWriter(tmp_path, stuff)
    with pytest.raises(DataError, match="choose --to coco"):
        InstanceIdWriter(tmp_path, stuff)


def test_images_of_one_name_in_several_folders_stay_apart():
    taken = set()
    paths = [Path(p) for p in ("x/a/1.png", "x/b/1.png", "y/b/1.png", "x/a/1.jpg")]
    assert [unused_name(path, taken) for path in paths] == [
        "1.png",
        "b_1.png",
        "y_b_1.png",
        "a_1.jpg",
    ]


def test_no_output_overwrites_another_on_any_file_system():
    taken = set()
    paths = [Path("a/x.png"), Path("b/X.png"), Path("a/x.jpg"), Path("a/x.jpg"), Path("x.png")]
    names = [unused_name(path, taken) for path in paths]
    assert names == ["x.png", "b_X.png", "a_x.jpg", "a_x_2.jpg", "x_2.png"]
    assert "/" not in unused_name(Path("/x.png"), taken) + unused_name(Path("/x.png"), taken)


def test_stuff_and_things_from_different_folders(tmp_path):
    """Pixels that are a disc in `stuff` belong to the objects of `things`, or are ignored."""
    stuff = write_discs(tmp_path / "stuff", {"train": 2, "val": 1})
    things = write_discs(tmp_path / "things", {"train": 2, "val": 1})
    path = things / "train" / "masks" / "0.png"
    ids = np.asarray(Image.open(path)).copy()
    removed = ids == 1
    ids[removed] = 0
    Image.fromarray(ids).save(path)
    for folder, names in ((stuff, ("disc", "ground")), (things, ("disc", "elsewhere"))):
        names = dict(zip(("thing", "stuff"), names, strict=True))
        (folder / "labels.json").write_text(json.dumps(names))
    convert(stuff, tmp_path / "out", to="coco-panoptic", things=things)
    converted = open_dataset(tmp_path / "out", "train")
    assert converted.labels == LabelSet(("disc", "ground"), (True, False))
    sample = converted[0]
    assert sample.ignored is not None and (sample.ignored == removed).all()
    assert (sample.label_ids == 0).sum() == len(np.unique(ids)) - 1
    (things / "val" / "images" / "0.png").unlink()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(things / "val" / "images" / "7.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(things / "val" / "masks" / "7.png")
    with pytest.raises(DataError, match="must hold the same images"):
        convert(stuff, tmp_path / "again", to="coco-panoptic", things=things)


def sample_with_gaps(path=Path("a.png")):
    """Return a ring with two dots, over half a square, and a crowd."""
    rows, columns = np.indices((40, 60))
    ring = (np.hypot(rows - 18, columns - 20) < 15) & (np.hypot(rows - 18, columns - 20) > 9)
    dots = (np.hypot(rows - 18, columns - 20) < 4) | (np.hypot(rows - 30, columns - 50) < 6)
    layers = np.zeros((2, 40, 60), np.int32)
    layers[0, 10:, :25], layers[0, :5, 40:], layers[1, ring | dots] = 1, 2, 3
    return Sample(
        image=np.zeros((40, 60, 3), np.uint8),
        id_maps=layers,
        label_ids=np.array([1, 1, 0]),
        crowds=np.array([False, True, False]),
        ignored=None,
        path=path,
    )


def test_yolo_keeps_parts_and_holes_to_the_pixel(tmp_path):
    """COCO's rasteriser draws a polygon with bridges as the original mask."""
    sample, names = sample_with_gaps(), ("cell", "square", "ground")
    writer = YoloWriter(tmp_path, LabelSet(names, (True, True, False)))
    writer.image_folder("val").mkdir(parents=True)
    Image.fromarray(sample.image).save(writer.image_folder("val") / "a.png")
    writer.add("val", sample, "a.png")
    writer.finish("val")
    converted = open_dataset(tmp_path, "val")
    assert converted.labels.names == ("cell", "square", "background")
    masks = {
        int(label): converted[0].mask(i) for i, label in enumerate(converted[0].label_ids, start=1)
    }
    assert (masks[0] == sample.mask(3)).all() and (masks[1] == sample.mask(1)).all()
    assert {kind: count for kind, count in writer.lost.items() if count} == {
        "gaps in objects of several parts or with holes, bridged": 3,
        "crowds": 1,
    }


@pytest.mark.parametrize("write", [write_yolo, write_roboflow], ids=["YOLO", "Roboflow"])
@pytest.mark.parametrize("to", ["coco", "yolo"])
@pytest.mark.filterwarnings("ignore::unimask.datasets.interface.DataWarning")
def test_the_implied_background_does_not_count_as_lost(tmp_path, write, to):
    """Elsewhere each image counts as a lost region."""
    data = write(tmp_path / "data")
    written = convert(data, tmp_path / "out", to=to)
    assert not any("regions of stuff" in line for line in written.notes)
    assert open_dataset(tmp_path / "out", "train").labels.names[-1] == "background"


def test_stuff_beside_a_background_is_still_lost(tmp_path):
    labels = LabelSet(("cell", "Background"), (True, False))
    for named, lost in ((LABELS, 1), (labels, 0)):
        for writer in (CocoWriter(tmp_path, named), YoloWriter(tmp_path, named)):
            writer.add("train", overlapping_sample(), "a.png")
            assert writer.lost["regions of stuff"] == lost


def test_system_and_temporary_files_do_not_count(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 2, "val": 1})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".gitkeep").touch()
    convert(data, tmp_path / "out", to="coco-panoptic")
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {".gitkeep", "annotations", "train"}
    with pytest.raises(OutputError, match=r"is not empty .*: choose a new folder"):
        convert(data, tmp_path / "out", to="coco-panoptic")


def test_interrupted_conversions_leave_no_files(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 2, "val": 1})

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(data, tmp_path / "out", to="coco-panoptic", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["discs"]
    assert convert(data, tmp_path / "out", to="coco-panoptic").images == {"train": 2, "val": 1}


def test_yolo_round_trip(tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 2, "val": 1})
    Image.fromarray(np.zeros((96, 128), np.uint8)).save(data / "train" / "masks" / "1.png")
    written = convert(data, tmp_path / "out", to="yolo", names=("disc", "background"))
    assert written.notes == []  # pixels without objects become background again
    for split in ("train", "val"):
        converted = open_dataset(tmp_path / "out", split)
        assert converted.labels == LabelSet(("disc", "background"), (True, False))
        assert_equal(open_dataset(data, split), converted)
    assert (tmp_path / "out" / "labels" / "train" / "1.txt").read_text() == ""


def test_an_explicit_format_is_used(tmp_path):
    """Instance ids are read as classes on request."""
    data = write_discs(tmp_path / "discs", {"train": 2, "val": 1}, objects=3)
    convert(data, tmp_path / "out", to="semantic", format="semantic maps")
    assert open_dataset(tmp_path / "out", "train").labels.names[:2] == ("class 0", "class 1")
    with pytest.raises(DataError, match="may be semantic maps"):
        convert(data, tmp_path / "again", to="semantic", format="LabelMe")


def test_things_without_objects_are_an_error(tmp_path):
    """Elsewhere the option has no effect, and the output lacks all objects."""
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1})
    convert(data, tmp_path / "maps", to="semantic")
    with pytest.raises(SettingsError, match="has no thing classes, only object, background"):
        convert(tmp_path / "maps", tmp_path / "out", to="coco-panoptic", things=tmp_path / "maps")
    assert not (tmp_path / "out").exists()


def test_a_folder_inside_or_around_the_dataset_is_refused(tmp_path):
    """Output inside a dataset would later be read as a part of it."""
    data = write_discs(tmp_path / "around" / "data", {"train": 1, "val": 1})
    (tmp_path / "link").symlink_to(data)
    for out in (data / "inner", data / "a" / "b", tmp_path / "link" / "inner"):
        with pytest.raises(OutputError, match=r"is inside the dataset .*: choose a folder outside"):
            convert(data, out, to="coco")
    with pytest.raises(OutputError, match="is around the dataset"):
        convert(data, tmp_path / "around", to="coco")
    with pytest.raises(OutputError, match="is inside the dataset"):
        convert(data, data / "inner", to="coco", things=data)
    assert sorted(os.listdir(data)) == ["train", "val"]
    assert convert(data, tmp_path / "around" / "data-coco", to="coco").images["train"] == 1
