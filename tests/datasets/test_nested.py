"""The same data in deeper folders are the same samples, whatever the format."""

import shutil
from pathlib import Path

import map_layouts
import numpy as np
import outlines
import published_layouts
import pytest
import tool_exports
from fuzzing.readers import write_panoptic, write_saved_tables, write_tables

from unimask.datasets import open_dataset
from unimask.datasets.interface import DatasetOptions
from unimask.datasets.opening import split_names
from unimask.processing.images import IMAGE_SUFFIXES

pytestmark = pytest.mark.filterwarnings("ignore::unimask.datasets.interface.DataWarning")

WRITERS = {
    **outlines.WRITERS,
    **{writer.__name__: writer for writers, _ in tool_exports.SEEDS.values() for writer in writers},
    "COCO panoptic": write_panoptic,
    "parquet": write_tables,
    "saved tables": write_saved_tables,
    **{
        name: map_layouts.LAYOUTS[name]
        for name in (
            "aerial_tiles",
            "segnet_camvid",
            "binary_masks",
            "palette_maps",
            "nuclei_like",
            "ade20k_objects",
            "ade20k_full",
            "cityscapes",
            "mapillary_vistas",
        )
    },
    **{f"published {name}": write for name, write in published_layouts.LAYOUTS.items()},
}

NOT_DEEPER = {
    f"published {name}" for name in ("cell_tracking", "dsb2018", "kitti_step", "kitti_mots_text")
} | {"write_youtube_vis"}
"""Layouts whose innermost folders mean an image or a sequence."""

SUFFIXES = IMAGE_SUFFIXES | {".npz"}


def read(folder: Path) -> dict:
    """Return the classes, the names of the images, and two samples of each split."""
    read_splits = {}
    for split in split_names(folder, DatasetOptions()):
        dataset = open_dataset(folder, split)
        order = sorted(range(len(dataset)), key=lambda index: dataset.paths[index].name)
        names = [dataset.paths[index].name for index in order]
        samples = {}
        for sample in (dataset[order[0]], dataset[order[-1]]):
            label_map = np.array([-1, *sample.label_ids])[sample.id_maps]
            samples[sample.image.tobytes()] = label_map.tobytes()
        read_splits[split] = (dataset.labels, dataset.info.format, names, samples)
    return read_splits


@pytest.mark.parametrize("name", WRITERS)
def test_a_dataset_in_inner_folders_is_found(tmp_path, name):
    (tmp_path / "0").mkdir()
    WRITERS[name](tmp_path / "0")
    expected = read(tmp_path / "0")
    for level in (1, 2):
        (tmp_path / str(level)).mkdir()
        shutil.move(tmp_path / str(level - 1), tmp_path / str(level) / f"export {level}")
        assert read(tmp_path / str(level)) == expected


def move_into(folder: Path, scene: str) -> None:
    """Move images, and the files that label one image each, into further folders."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    stems = {path.stem for path in files if path.suffix.lower() in SUFFIXES}
    for path in files:
        own = path.suffix in (".txt", ".json", ".geojson") and path.stem in stems
        if own or path.suffix.lower() in SUFFIXES:
            (path.parent / scene).mkdir(exist_ok=True)
            path.rename(path.parent / scene / path.name)


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in NOT_DEEPER])
def test_images_and_their_labels_in_inner_folders_are_found(tmp_path, name):
    (tmp_path / "data").mkdir()
    WRITERS[name](tmp_path / "data")
    expected = read(tmp_path / "data")
    for scene in ("scene 1", "camera b"):
        move_into(tmp_path / "data", scene)
        assert read(tmp_path / "data") == expected


@pytest.mark.parametrize("name", ["LabelMe", "YOLO", "published voc", "published cellpose"])
def test_commands_take_a_dataset_in_inner_folders(tmp_path, command, name):
    """`train` and `evaluate` open datasets in the same way."""
    (tmp_path / "data" / "export" / "v1").mkdir(parents=True)
    WRITERS[name](tmp_path / "data" / "export" / "v1")
    code, printed, err = command("check", tmp_path / "data")
    assert not err and "0 corrupt" in printed
    code, printed, err = command("convert", tmp_path / "data", tmp_path / "out", "--to", "coco")
    assert code == 0, err
    expected = {split: len(entries[2]) for split, entries in read(tmp_path / "data").items()}
    assert {split: len(entries[2]) for split, entries in read(tmp_path / "out").items()} == expected
