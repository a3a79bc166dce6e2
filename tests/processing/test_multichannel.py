"""Images with other channels than RGB are read exactly, or refused in one line."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unimask.config import PreprocessingConfig
from unimask.errors import ImageError
from unimask.processing.images import read_image
from unimask.processing.multichannel import to_displayable
from unimask.processing.preprocess import preprocess


def stack(channels, dtype=np.uint8, size=(7, 9)):
    values = np.random.default_rng(channels).integers(0, 256, (*size, channels))
    return values.astype(dtype)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 12])
def test_arrays_and_their_files_are_read_equally(tmp_path, channels):
    array = stack(channels)
    np.save(tmp_path / "a.npy", array)
    for source in (array, tmp_path / "a.npy", str(tmp_path / "a.npy")):
        assert np.array_equal(read_image(source, channels=channels), array)


def test_npy_files_are_images_for_rgb_models_too(tmp_path):
    np.save(tmp_path / "a.npy", stack(3))
    assert np.array_equal(read_image(tmp_path / "a.npy"), stack(3))


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.uint16, 257), (np.float32, 1 / 255), (np.float64, 1 / 255)]
)
def test_deeper_values_are_scaled(dtype, scale):
    array = (stack(5).astype(np.float64) * scale).astype(dtype)
    assert np.array_equal(read_image(array, channels=5), stack(5))
    assert np.array_equal(
        read_image(array.astype(np.float64) * 2, channels=5, window=(0, 510 * scale)), stack(5)
    )


def test_auto_scales_each_channel_separately():
    array = stack(4, np.float32) * np.array([1, 10, 1000, 0.001], np.float32)
    found = read_image(array, channels=4, window="auto")
    assert all(found[..., i].min() == 0 and found[..., i].max() == 255 for i in range(4))


def test_masks_and_flat_images_have_one_channel():
    assert np.array_equal(read_image(stack(1)[..., 0], channels=1), stack(1))
    assert read_image(np.eye(3, dtype=bool), channels=1).max() == 255


@given(channels=st.integers(1, 8).filter(lambda n: n != 3), found=st.integers(1, 8))
def test_other_channels_are_refused_in_one_line(channels, found):
    if found == channels:
        return
    with pytest.raises(ImageError, match=f"the model reads {channels} channels") as failed:
        read_image(stack(found), channels=channels)
    assert "\n" not in str(failed.value) and f"has {found} channel" in str(failed.value)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16"])
def test_bands_of_an_image_are_its_channels(tmp_path, mode):
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = stack(bands)
    source = pixels[..., 0].astype(np.uint16) * 257 if mode == "I;16" else pixels.squeeze()
    Image.fromarray(source).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png", channels=bands)
    assert np.array_equal(found, pixels)  # including alpha, without blending


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_pages_of_a_tiff_are_its_channels(tmp_path, dtype):
    scale = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[dtype]
    layers = np.moveaxis((stack(6).astype(np.float64) * scale).astype(dtype), 2, 0)
    pages = [Image.fromarray(layer) for layer in layers]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert np.array_equal(read_image(tmp_path / "a.tif", channels=6), stack(6))
    with pytest.raises(ImageError, match="has 6 pages, but the model reads 5 channels"):
        read_image(tmp_path / "a.tif", channels=5)


def test_pages_of_other_sizes_or_colours_are_refused(tmp_path):
    first = Image.fromarray(stack(1)[..., 0])
    for other in (Image.new("L", (3, 3)), Image.new("RGB", first.size)):
        first.save(tmp_path / "a.tif", save_all=True, append_images=[other])
        with pytest.raises(ImageError, match="pages of several channels or sizes"):
            read_image(tmp_path / "a.tif", channels=2)


@pytest.mark.parametrize(
    ("photometric", "message"),
    [("minisblack", "is not an image of a known kind"), ("rgb", "reads only 3")],
)
def test_channels_that_pillow_does_not_read_are_an_error(tmp_path, photometric, message):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", stack(5), photometric=photometric, planarconfig="contig")
    with pytest.raises(ImageError, match=rf"{message}.*\.npy") as failed:
        read_image(tmp_path / "a.tif", channels=5)
    assert "\n" not in str(failed.value)


def test_rotated_images_are_upright(tmp_path):
    image = Image.fromarray(stack(4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png", channels=4), np.rot90(stack(4), -1))


def broken(kind):
    stream = io.BytesIO()
    np.save(stream, stack(5))
    data = stream.getvalue()
    if kind == "objects":
        stream = io.BytesIO()
        np.save(stream, np.array([{}], dtype=object))
        return stream.getvalue()
    return {
        "short": data[:-5],
        "header": data[:20],
        "text": b"channels, channels",
        "huge": data.replace(b"(7, 9, 5)", b"(70000, 90000, 5)".ljust(9)),
        "negative": data.replace(b"(7, 9, 5)", b"(-7, 9, 5"),
    }[kind]


@pytest.mark.parametrize("kind", ["short", "header", "text", "objects", "huge", "negative"])
def test_damaged_or_hostile_arrays_are_refused_in_one_line(tmp_path, kind):
    (tmp_path / "a.npy").write_bytes(broken(kind))
    with warnings.catch_warnings(), pytest.raises(ImageError, match=r"a\.npy") as failed:
        warnings.simplefilter("ignore")
        read_image(tmp_path / "a.npy", channels=5)
    assert "\n" not in str(failed.value)


def test_a_large_array_is_refused_before_it_is_read(tmp_path):
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (3000, 3000, 5))
    with pytest.raises(ImageError, match="3000 x 3000 pixels, more than 1,000"):
        read_image(tmp_path / "a.npy", channels=5, max_pixels=1000)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_the_tensor_has_the_images_channels_each_resized_alone(channels):
    image = stack(channels, size=(40, 60))
    rules = PreprocessingConfig(shortest_edge=20, longest_edge=99).with_channels(channels)
    preprocessed = preprocess(image, rules)
    assert preprocessed.pixel_values.shape == (channels, 32, 32)
    for index in range(channels):
        alone = preprocess(
            image[..., index : index + 1],
            PreprocessingConfig(
                shortest_edge=20, longest_edge=99,
                mean=rules.mean[index : index + 1], std=rules.std[index : index + 1],
            ),
        )  # fmt: skip
        np.testing.assert_array_equal(preprocessed.pixel_values[index], alone.pixel_values[0])


def test_overlays_show_the_first_three_channels():
    rgb = stack(3)
    assert to_displayable(rgb) is rgb
    five = (stack(5) // 2 + 20).astype(np.uint8)
    shown = to_displayable(five)
    assert shown.shape == (7, 9, 3)
    for index in range(3):
        assert shown[..., index].min() == 0 and shown[..., index].max() == 255
        order = np.argsort(five[..., index], axis=None)
        assert (np.diff(shown[..., index].ravel()[order].astype(int)) >= 0).all()
    grey = to_displayable(stack(1))
    assert np.array_equal(grey[..., 0], grey[..., 1]) and np.array_equal(grey[..., 0], grey[..., 2])
    assert not to_displayable(stack(2))[..., 2].any()
