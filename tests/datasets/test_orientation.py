"""Images with an EXIF orientation, with labels that are or are not rotated."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from unimask.datasets import open_dataset
from unimask.datasets.image_files import image_size
from unimask.errors import DataError
from unimask.formats.panoptic_png import encode_ids
from unimask.processing.orientation import ORIENTATION, read_orientation, rotate_upright

SIZE = (24, 32)
ORIENTATIONS = range(2, 9)


def with_orientation(value):
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return exif


def class_map(size):
    labels = np.zeros(size, np.uint8)
    labels[: size[0] // 2, : size[1] // 4] = 1
    return labels


def write_pair(folder, size, orientation, rotate_mask, mask_exif=False):
    """Write five images with an EXIF orientation, and masks of the stored or upright pixels."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    exif = with_orientation(orientation)
    for number in range(5):
        noise = np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"{number}.jpg", exif=exif, quality=95)
        mask = Image.fromarray(class_map(size) * 255)
        if rotate_mask:
            tagged = mask.copy()
            tagged.getexif()[ORIENTATION] = orientation
            mask = rotate_upright(tagged, "mask")
        options = {"exif": exif} if mask_exif else {}
        mask.save(folder / "masks" / f"{number}.png", **options)
    return folder


def expected_map(size, orientation):
    tagged = Image.fromarray(class_map(size))
    tagged.getexif()[ORIENTATION] = orientation
    return np.array(rotate_upright(tagged, "mask"))


def label_map(sample):
    return sample.label_ids[sample.id_maps[0] - 1]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_masks_of_upright_pixels_fit_images_turned_by_a_quarter(tmp_path, orientation):
    dataset = open_dataset(write_pair(tmp_path, SIZE, orientation, rotate_mask=True), None)
    for sample in (dataset[0], dataset[3]):
        assert sample.image.shape[:2] == SIZE[::-1]
        assert (label_map(sample) == expected_map(SIZE, orientation)).all()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_masks_of_stored_pixels_beside_turned_images_are_refused_by_their_size(
    tmp_path, orientation
):
    dataset = open_dataset(write_pair(tmp_path, SIZE, orientation, rotate_mask=False), None)
    with pytest.raises(DataError, match=rf"EXIF orientation {orientation}.*exiftool") as caught:
        dataset[0]
    assert "0.png is 24 x 32, but its image 0.jpg is 32 x 24" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_masks_that_fit_turned_images_both_ways_are_refused(tmp_path, orientation):
    size = SIZE if orientation < 5 else (24, 24)
    dataset = open_dataset(write_pair(tmp_path, size, orientation, rotate_mask=True), None)
    with pytest.raises(DataError, match=r"same size either way.*auto-orient.*exiftool"):
        dataset[0]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_masks_with_the_tag_of_their_image_are_turned_with_it(tmp_path, orientation):
    for size in (SIZE, (24, 24)):
        folder = tmp_path / str(size[1])
        folder.mkdir()
        folder = write_pair(folder, size, orientation, rotate_mask=False, mask_exif=True)
        sample = open_dataset(folder, None)[0]
        assert (label_map(sample) == expected_map(size, orientation)).all()


def test_upright_tags_change_nothing(tmp_path):
    sample = open_dataset(write_pair(tmp_path, SIZE, 1, rotate_mask=False), None)[0]
    assert (label_map(sample) == class_map(SIZE)).all()


@pytest.mark.parametrize(
    ("orientation", "reason"), [(3, "same size either way"), (6, "it as it is stored")]
)
def test_panoptic_maps_beside_turned_images_are_refused(tmp_path, orientation, reason):
    (tmp_path / "panoptic").mkdir()
    (tmp_path / "images").mkdir()
    exif = with_orientation(orientation)
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "images" / "a.jpg", exif=exif)
    ids = encode_ids(class_map(SIZE).astype(np.int32) + 1)
    Image.fromarray(ids).save(tmp_path / "panoptic" / "a.png")
    segments = [{"id": id, "category_id": id, "iscrowd": 0} for id in (1, 2)]
    annotation = {"image_id": 1, "file_name": "a.png", "segments_info": segments}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [annotation],
        "categories": [{"id": id, "name": f"class {id}", "isthing": 1} for id in (1, 2)],
    }
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"EXIF orientation {orientation}.*{reason}"):
        open_dataset(tmp_path)[0]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_sizes_are_those_of_upright_images_in_every_format(tmp_path, suffix, orientation):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", SIZE[::-1]).save(path, exif=with_orientation(orientation))
    assert image_size(path, 3) == (SIZE if orientation < 5 else SIZE[::-1])


def test_orientation_behind_the_pixels_of_a_png_is_found():
    """Exiftool and ImageMagick write the chunk after the pixels."""
    early, plain = io.BytesIO(), io.BytesIO()
    Image.new("L", (8, 8)).save(early, "PNG", exif=with_orientation(6))
    Image.new("L", (8, 8)).save(plain, "PNG")
    data, bare = early.getvalue(), plain.getvalue()
    start = data.index(b"eXIf") - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    late = bare[: bare.index(b"IEND") - 4] + chunk + bare[bare.index(b"IEND") - 4 :]
    assert read_orientation(io.BytesIO(late)) == 6
    assert read_orientation(io.BytesIO(data)) == 6
    assert read_orientation(io.BytesIO(bare)) is None
    assert read_orientation(io.BytesIO(b"no image")) is None
