"""Input files of a folder: images, but not the label maps of a dataset."""

import numpy as np
import pytest
from map_layouts import LAYOUTS, draw_blocks, draw_photo, save

from unimask.inference.sources import list_sources
from unimask.processing.images import ImageWarning


def names_in(folder, source=None):
    return [path.relative_to(folder).as_posix() for path in list_sources(source or folder)]


def write(folder, *names, draw=draw_photo):
    for number, name in enumerate(names):
        save(folder / name, draw(number) if draw is draw_photo else draw_blocks(number, 3))


MAPS = {
    "folders": (["images/a.png", "images/b.png"], ["masks/a.png", "masks/b.png"]),
    "splits": (["train/images/a.png", "val/images/b.png"], ["train/masks/a.png", "val/gt/b.png"]),
    "endings": (["a.png", "b.png"], ["a_mask.png", "b_mask.png"]),
    "a folder per image": (["x/a.jpg", "y/b.jpg"], ["x/labels/0.png", "y/labels/0.png"]),
    "VOC": (["JPEGImages/a.jpg"], ["SegmentationClass/a.png", "SegmentationObject/a.png"]),
}


@pytest.mark.parametrize("case", MAPS)
def test_label_maps_beside_images_are_left_out_with_a_warning(tmp_path, case):
    """Elsewhere the whole dataset is segmented, including masks."""
    images, maps = MAPS[case]
    write(tmp_path, *images)
    write(tmp_path, *maps, draw=draw_blocks)
    with pytest.warns(ImageWarning, match=rf"^{len(maps)} label maps in .* are not segmented"):
        assert names_in(tmp_path) == sorted(images)


@pytest.mark.parametrize("layout", ["cityscapes", "camvid_streets", "ade20k", "mapillary_vistas"])
def test_published_datasets_are_segmented_without_their_labels(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    with pytest.warns(ImageWarning, match="label maps in"):
        images = list_sources(tmp_path)
    for path in images:
        pixels = np.asarray(__import__("PIL.Image").Image.open(path)).astype(int)
        assert np.abs(np.diff(pixels[..., 0])).mean() > 40, path  # the photographs are noise


def test_a_pattern_over_a_dataset_leaves_label_maps_out_too(tmp_path):
    write(tmp_path, "images/a.png", "images/b.png")
    write(tmp_path, "masks/a.png", draw=draw_blocks)
    with pytest.warns(ImageWarning, match="1 label maps in"):
        assert names_in(tmp_path, f"{tmp_path}/*/*.png") == ["images/a.png", "images/b.png"]


def test_a_folder_of_maps_alone_is_segmented_as_images(tmp_path):
    write(tmp_path, "masks/a.png", "masks/b.png", draw=draw_blocks)
    assert names_in(tmp_path) == names_in(tmp_path, tmp_path / "masks")
    assert names_in(tmp_path) == ["masks/a.png", "masks/b.png"]


def test_photographs_in_folders_named_like_labels_are_segmented(tmp_path):
    write(tmp_path, "images/a.png", "labels/a.png", "targets/b.png", "gt/c_mask.png")
    assert len(list_sources(tmp_path)) == 4
