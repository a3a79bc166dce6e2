"""Folders with all masks of one image, as written by Data Science Bowl 2018 and SAM."""

import numpy as np
import pytest
from map_layouts import draw_photo, save
from published_layouts import dsb2018

from unimask.datasets import describe, open_dataset
from unimask.errors import DataError

SIZE = (48, 64)
AREAS = {"a": [100, 30], "b": [110, 35, 24], "c": [120]}
"""Number of pixels of each object, by image."""


def draw_masks(image):
    """Draw a mask for each object of an image."""
    for number, area in enumerate(AREAS[image]):
        mask = np.zeros(SIZE, np.uint8)
        mask.reshape(-1)[1000 * number : 1000 * number + area] = 255
        yield mask


def write(folder, image, mask, names=None):
    """Write images and their masks, which are numbered unless they have names."""
    for stem in AREAS:
        save(folder / image.format(stem), draw_photo(len(stem), SIZE))
        for number, pixels in enumerate(draw_masks(stem)):
            name = names[number] if names else number
            save(folder / mask.format(stem, name), pixels)
    return folder


def object_areas(dataset):
    """Count the pixels of each object of each image, without the background."""
    areas = {}
    for sample in dataset:
        objects = np.flatnonzero(sample.label_ids == 0) + 1
        areas[sample.path.stem] = [int((sample.id_maps == number).sum()) for number in objects]
    return areas


LAYOUTS = {
    "masks/IMAGE/NUMBER": ("images/{}.png", "masks/{}/{}.png"),
    "IMAGE/NUMBER beside the image": ("{}.png", "{}/{}.png"),
    "a folder with the suffix": ("images/{}.jpg", "masks/{}.jpg/{}.png"),
    "numbered masks": ("images/{}.png", "masks/{}/mask_{}.png"),
    "splits": ("train/images/{}.png", "train/masks/{}/{}.png"),
    "a folder for image and masks": ("{0}/{0}.png", "{0}/masks/{1}.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_mask_in_the_folder_of_an_image_is_an_object(tmp_path, layout):
    """Elsewhere the first mask of other images is taken as the whole map of each."""
    dataset = open_dataset(write(tmp_path, *LAYOUTS[layout]))
    assert object_areas(dataset) == AREAS
    assert "each file in an image's folder of masks is one object" in describe(dataset)


def test_masks_that_overlap_stay_whole(tmp_path):
    """Data Science Bowl 2018 and SAM write complete masks, and a map would cut the larger one."""
    save(tmp_path / "images" / "a.png", draw_photo(0, SIZE))
    for number, (top, bottom) in enumerate(((0, 20), (12, 24), (30, 40), (40, 40))):
        mask = np.zeros(SIZE, np.uint8)
        mask[top:bottom, 5 : 30 + number] = 255
        save(tmp_path / "masks" / "a" / f"{number}.png", mask)
    sample = open_dataset(tmp_path)[0]
    assert sample.label_ids.tolist() == [0, 0, 0, 1] and sample.id_maps.shape == (2, *SIZE)
    assert [int(sample.mask(n).sum()) for n in (1, 2, 3)] == [20 * 25, 12 * 26, 10 * 27]
    assert (sample.front[12:20, 5:30] == 2).all()  # the smaller one
    assert sample.ignored is None
    assert (sample.mask(4) == ~(sample.mask(1) | sample.mask(2) | sample.mask(3))).all()


@pytest.mark.parametrize("place", ["", "stage1_train"])
def test_data_science_bowl_2018_as_published(tmp_path, place):
    """Names are digests, images have alpha, and the test images have no masks."""
    data = dsb2018(tmp_path)
    dataset = open_dataset(data / place)
    assert len(dataset) == 6
    areas = sorted(map(sorted, object_areas(dataset).values()))
    assert areas == [sorted([72 + 8 * number] * 3) for number in range(6)]


def test_names_of_masks_may_be_those_of_images(tmp_path):
    for number in range(3):
        save(tmp_path / "images" / f"{number}.png", draw_photo(number, SIZE))
        for index, mask in enumerate(draw_masks("abc"[number])):
            save(tmp_path / "masks" / str(number) / f"{index}.png", mask)
    areas = {str(n): AREAS[stem] for n, stem in enumerate("abc")}
    assert object_areas(open_dataset(tmp_path)) == areas


def test_images_without_a_mask_folder_are_left_out_and_reported(tmp_path):
    data = write(tmp_path, "images/{}.png", "masks/{}/{}.png")
    save(data / "images" / "d.png", draw_photo(4, SIZE))
    dataset = open_dataset(data)
    assert object_areas(dataset) == AREAS
    assert "1 images have no map: left out" in describe(dataset)


def test_folders_of_sequences_are_not_folders_of_one_image(tmp_path):
    for sequence in ("0", "1"):
        for frame, stem in enumerate(AREAS):
            save(tmp_path / "images" / sequence / f"{frame}.png", draw_photo(frame, SIZE))
            save(tmp_path / "masks" / sequence / f"{frame}.png", next(draw_masks(stem)))
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 6 and dataset.labels.names == ("background", "foreground")


def test_masks_named_after_classes_are_classes(tmp_path):
    """Elsewhere a liver and a kidney are two objects of one class."""
    names = ["liver", "kidney", "spleen"]
    data = write(tmp_path, "{0}/images/{0}.png", "{0}/masks/{1}.png", names)
    dataset = open_dataset(data)
    assert dataset.labels.names == ("background", "kidney", "liver", "spleen")
    sample = next(sample for sample in dataset if sample.path.stem == "b")
    labels = np.array([-1, *sample.label_ids])[sample.id_maps[0]]
    assert np.bincount(labels.ravel()).tolist() == [48 * 64 - 169, 35, 110, 24]
    objects = open_dataset(data, format="instance ids")
    found = {stem: sorted(areas, reverse=True) for stem, areas in object_areas(objects).items()}
    assert found == AREAS and objects.labels.names == ("object", "background")


def test_masks_named_after_classes_with_numbers_require_an_option(tmp_path):
    for stem in ("a", "b"):
        save(tmp_path / stem / "images" / f"{stem}.png", draw_photo(1, SIZE))
        for name, mask in zip(("cat_0", "cat_1", "dog_0"), draw_masks("b"), strict=True):
            save(tmp_path / stem / "masks" / f"{name}.png", mask)
    with pytest.raises(DataError, match=r"named after cat and dog: pass --format 'instance ids'"):
        open_dataset(tmp_path)
