"""Known problems with names and numbers of masks as other tools write them: a test for each."""

import json
import unicodedata

import numpy as np
import pytest
from map_layouts import draw_photo, save
from PIL import Image

from unimask.datasets import describe, open_dataset
from unimask.errors import DataError

SIZE = (48, 64)
IMAGES = 6


def draw_object(index):
    """Draw one object of two parts, of 200 and 84 + 12 * index pixels."""
    mask = np.zeros(SIZE, np.uint8)
    mask[4:14, 4:24] = 1
    mask[30:42, 40 : 47 + index] = 1
    return mask


AREA = 284
"""Number of pixels of the object in the first image."""


def write(folder, draw, image="images/a{}.png", mask="masks/a{}.png", count=IMAGES):
    """Write images of noise and what `draw` makes of each index as their masks."""
    for index in range(count):
        save(folder / image.format(index), draw_photo(index, SIZE))
        path = folder / mask.format(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        labels = draw(index)
        np.save(path, labels) if path.suffix == ".npy" else save(path, labels)
    return folder


def areas_of(dataset, index=0):
    """Count the pixels of each class in an image by name; None for what is ignored."""
    sample = dataset[index]
    labels = np.array([-1, *sample.label_ids])[sample.id_maps[0]]
    names = [*dataset.labels.names, None]
    return {names[i]: int((labels == i).sum()) for i in np.unique(labels).tolist()}


@pytest.mark.parametrize("red", [255, 128, 76])
def test_masks_that_are_painted_red_are_no_object_numbers(tmp_path, red):
    """Elsewhere red 255 is taken for a class channel in which all objects are ignored."""

    def draw(index):
        mask = draw_object(index) * np.uint8(red)
        return np.stack([mask, mask * 0, mask * 0], axis=2)

    dataset = open_dataset(write(tmp_path, draw))
    colour = f"#{red:02x}0000"
    assert areas_of(dataset) == {"#000000": 48 * 64 - AREA, colour: AREA}


@pytest.mark.parametrize(
    ("dtype", "suffix"), [(np.uint16, ".png"), (np.int32, ".tif"), (np.float32, ".tif")]
)
def test_masks_of_0_and_1_in_wide_numbers_are_black_and_white(tmp_path, dtype, suffix):
    """Elsewhere all parts of an image become one object, for wide numbers often count objects."""
    data = write(tmp_path, lambda i: draw_object(i).astype(dtype), mask="masks/a{}" + suffix)
    dataset = open_dataset(data)
    assert areas_of(dataset) == {"background": 48 * 64 - AREA, "foreground": AREA}


def test_one_cell_per_image_in_16_bits_is_still_an_object(tmp_path):
    """Single connected cells in 16 bits are numbered objects, as tools for cells write them."""

    def draw(index):
        mask = np.zeros(SIZE, np.uint16)
        mask[4 : 14 + index, 4:24] = 1
        return mask

    assert open_dataset(write(tmp_path, draw)).labels.names == ("object", "background")


def test_mixed_binary_value_ranges_require_an_option(tmp_path):
    """Elsewhere the objects of half of the images are silently ignored."""
    data = write(tmp_path, lambda i: draw_object(i) * np.uint8(255 if i % 2 else 1))
    with pytest.raises(DataError, match=r"0 \(.*1 \(.*255 \(.*--names"):
        open_dataset(data)
    dataset = open_dataset(data, names=("rest", "cell", "cell"))
    assert [areas_of(dataset, i)["cell"] for i in (0, 1)] == [AREA, AREA + 12]


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "größe é {}") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        (f"{COMPOSED}.png", f"{DECOMPOSED}.png"),
        ("my photo ({}).png", "my%20photo%20%28{}%29.png"),
        ("IMG_{}.PNG", "img_{}.png"),
        ("t00{}.tif", "man_seg00{}.tif"),
        ("x{}.png", "y_00{}.png"),
        ("image{}.png", "mask{}.png"),
    ],
)
def test_masks_are_found_by_differently_written_names(tmp_path, image, mask):
    """Elsewhere such a folder contains no dataset."""
    dataset = open_dataset(write(tmp_path, draw_object, f"images/{image}", f"masks/{mask}"))
    assert len(dataset) == IMAGES
    for index in range(IMAGES):
        assert areas_of(dataset, index)["foreground"] == AREA + 12 * index


def test_names_that_differ_in_case_alone_keep_their_own_masks(tmp_path):
    """Lower-casing names would match both images with the same mask."""
    data = write(tmp_path, draw_object, "images/a{}.png", "masks/a{}.png")
    write(data, lambda i: draw_object(i) * 0 + 1, "images/A{}.png", "masks/A{}.png")
    dataset = open_dataset(data)
    actual = {p.name: areas_of(dataset, i)["foreground"] for i, p in enumerate(dataset.paths)}
    assert actual["a0.png"] == AREA and actual["A0.png"] == 48 * 64


def test_sequences_of_cells_are_paired_with_their_own_masks(tmp_path):
    """Elsewhere t000.tif in 01/ and man_seg000.tif in 01_GT/SEG/ are not recognised at all."""
    for sequence, shift in (("01", 0), ("02", 3)):
        mask = f"{sequence}_GT/SEG/man_seg00{{}}.tif"
        write(tmp_path, lambda i, s=shift: draw_object(i + s), f"{sequence}/t00{{}}.tif", mask, 3)
    dataset = open_dataset(tmp_path)
    assert "Cell Tracking Challenge" in describe(dataset)
    assert [areas_of(dataset, i)["cell"] for i in range(6)] == [284 + 12 * i for i in range(6)]


def test_numbers_pair_nothing_where_a_mask_has_no_image(tmp_path):
    """Images numbered from 0 and masks numbered from 1 would all be paired wrongly."""
    data = write(tmp_path, draw_object, "images/t{}.png", "masks/man{}.png")
    (data / "masks" / "man0.png").rename(data / "masks" / "man6.png")
    with pytest.raises(DataError, match="contains no dataset"):
        open_dataset(data)


def test_the_table_of_roboflows_masks_names_their_classes(tmp_path):
    """Elsewhere _classes.csv is ignored, and it is unclear whether maps hold classes or objects."""
    for split, start in (("train", 0), ("valid", 3)):

        def draw(index, start=start):
            return draw_object(index + start) + np.uint8(np.eye(*SIZE)) * np.uint8(2)

        write(tmp_path, draw, f"{split}/{split}{{}}.png", f"{split}/{split}{{}}_mask.png", 3)
        table = "Pixel Value, Class\n0, background\n1, cat\n2, dog\n3, both\n"
        (tmp_path / split / "_classes.csv").write_text(table)
    dataset = open_dataset(tmp_path, "train")
    assert dataset.labels.names == ("background", "cat", "dog", "both")
    areas = areas_of(dataset)
    assert areas["cat"] + areas["both"] == AREA and areas["dog"] + areas["both"] == 48


def test_masks_beside_their_image_are_not_rivals_of_those_of_other_folders(tmp_path):
    """Elsewhere masks of other folders are treated as equal for every image and left out."""
    for index in range(IMAGES):
        save(tmp_path / f"p{index}" / "image.png", draw_photo(index, SIZE))
        save(tmp_path / f"p{index}" / "mask.png", draw_object(index) * np.uint8(255))
    dataset = open_dataset(tmp_path)
    assert "not read" not in describe(dataset)
    assert [areas_of(dataset, i)["foreground"] for i in range(6)] == [
        284 + 12 * i for i in range(6)
    ]


def test_a_copy_of_vocs_classes_leaves_no_empty_name_in_the_description(tmp_path):
    """Elsewhere the description ends in "; is not read (--masks reads it instead)"."""
    data = write(tmp_path, draw_object, "JPEGImages/a{}.png", "SegmentationClass/a{}.png")
    write(data, draw_object, "JPEGImages/a{}.png", "SegmentationClassPNG/a{}.png")
    description = describe(open_dataset(data))
    assert "SegmentationClassPNG is not read: it equals SegmentationClass" in description
    assert "(--masks" not in description


def test_masks_beside_their_images_are_found_by_attached_numbers(tmp_path):
    """Elsewhere img0.png and mask0.png in one folder are not recognised."""
    dataset = open_dataset(write(tmp_path, draw_object, "img{}.png", "mask{}.png"))
    assert [path.name for path in dataset.paths] == [f"img{index}.png" for index in range(IMAGES)]
    assert [areas_of(dataset, i)["foreground"] for i in range(6)] == [
        284 + 12 * i for i in range(6)
    ]


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 128, 255)])
def test_classes_in_jpegs_are_refused(tmp_path, values):
    """Elsewhere compression artefacts become classes, and 255, an object, is ignored."""

    def draw(index):
        labels = draw_object(index)
        labels[:, 32:] *= 2
        return np.array(values, np.uint8)[labels]

    with pytest.raises(DataError, match=r"a0\.jpg is a JPEG with more values than black and white"):
        open_dataset(write(tmp_path, draw, mask="masks/a{}.jpg"))


def test_black_and_white_masks_that_compression_has_tinted_are_masks(tmp_path):
    """Elsewhere each tint of a lossy WebP is a class."""
    write(tmp_path, draw_object)
    for path in sorted((tmp_path / "masks").iterdir()):
        pixels = np.broadcast_to(np.array(Image.open(path))[..., None] * np.uint8(250), (*SIZE, 3))
        tinted = pixels + np.array([0, 3, 5], np.uint8)
        Image.fromarray(tinted).save(path.with_suffix(".webp"), lossless=True)
        path.unlink()
    dataset = open_dataset(tmp_path)
    assert areas_of(dataset) == {"background": 48 * 64 - AREA, "foreground": AREA}


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "cat": 1, "dog": 2},
        {"0": "background", "1": "cat", "2": "dog"},
    ],
)
def test_the_layout_of_nnu_net_is_read_with_its_classes(tmp_path, labels):
    """Elsewhere case_000_0000.png is not matched with case_000.png."""

    def draw(index):
        mask = draw_object(index)
        mask[:, 32:] *= 2
        return mask

    write(tmp_path, draw, "imagesTr/case_00{}_0000.png", "labelsTr/case_00{}.png")
    save(tmp_path / "imagesTs" / "case_009_0000.png", draw_photo(9, SIZE))
    content = {"channel_names": {"0": "rgb"}, "labels": labels, "numTraining": IMAGES}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    dataset = open_dataset(tmp_path)
    assert len(dataset) == IMAGES
    assert areas_of(dataset) == {"background": 48 * 64 - AREA, "cat": 200, "dog": 84}


def test_images_of_several_channels_by_file_are_refused(tmp_path):
    """Each channel would be read as a separate image."""
    write(tmp_path, draw_object, "imagesTr/case_00{}_0000.png", "labelsTr/case_00{}.png")
    write(tmp_path, draw_object, "imagesTr/case_00{}_0001.png", "labelsTr/case_00{}.png")
    with pytest.raises(DataError, match="contains no dataset"):
        open_dataset(tmp_path)


def test_a_dataset_three_folders_down_is_found(tmp_path):
    """Elsewhere only one level of folders is searched."""
    dataset = open_dataset(write(tmp_path / "export" / "v1" / "cells", draw_object).parents[1])
    assert areas_of(dataset)["foreground"] == AREA


def test_partially_labelled_sequences_are_read(tmp_path):
    """Cell Tracking Challenge labels few frames; elsewhere the folder is refused."""
    data = write(tmp_path, draw_object, "01/t00{}.tif", "01_GT/SEG/man_seg00{}.tif")
    for index in (0, 2, 3, 5):
        (data / "01_GT" / "SEG" / f"man_seg00{index}.tif").unlink()
    for index, mask in ((1, 300), (4, 500)):
        numbers = draw_object(index).astype(np.uint16)
        numbers[30:] *= mask
        save(data / "01_GT" / "SEG" / f"man_seg00{index}.tif", numbers)
    dataset = open_dataset(data, format="instance ids")
    assert [path.name for path in dataset.paths] == ["t001.tif", "t004.tif"]
    assert [len(sample.label_ids) for sample in dataset] == [3, 3]
    assert "4 images have no map: left out" in describe(dataset)
