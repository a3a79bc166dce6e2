"""Very large images: bounded memory per pixel, and equal results."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from unimask.processing import pil_arrays, preprocess
from unimask.processing.images import read_image
from unimask.processing.orientation import ORIENTATION, stored_view
from unimask.processing.preprocess import resize_image, stretch_intensities
from unimask.visualization import overlay
from unimask.visualization.overlay import DrawnSegment, draw_overlay

SIDE = 2400
MOST_BYTES_PER_PIXEL = 12
"""Maximum memory beside the decoded image, which takes 3 bytes per pixel."""

PEAK = """
import sys
import numpy as np
import unimask

def memory(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))

model, (image, folder, *tasks) = unimask.load(sys.argv[1]), sys.argv[2:]
for task in tasks:
    model.predict(np.zeros((64, 64, 3), np.uint8), task).save(folder, "small", confidence=True)
before = memory("VmRSS")
for task in tasks:
    open("/proc/self/clear_refs", "w").write("5")
    model.predict(image, task).save(folder, task, confidence=True)
    print(task, memory("VmHWM") - before)
"""


def write_discs(path):
    """Write an image with many pixels and few bytes."""
    image = Image.new("RGB", (SIDE, SIDE), (40, 40, 40))
    draw = ImageDraw.Draw(image)
    for x, y in np.random.default_rng(0).integers(0, SIDE, (60, 2)).tolist():
        draw.ellipse((x, y, x + 150, y + 150), (190, 180, 170))
    image.save(path, compress_level=1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_per_pixel_from_input_to_outputs_is_bounded(tiny_model, tmp_path):
    write_discs(tmp_path / "large.png")
    tasks = ("panoptic", "semantic")
    arguments = (tiny_model, tmp_path / "large.png", tmp_path / "out", *tasks)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    peaks = dict(line.split() for line in done.stdout.splitlines())
    assert peaks.keys() == set(tasks)
    for task, peak in peaks.items():
        assert int(peak) / SIDE**2 < 3 + MOST_BYTES_PER_PIXEL, task


@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 40),
    st.booleans(),
)
def test_resizing_by_strips_changes_no_bit(size, new_size, channels, rows, stretched):
    image = np.random.default_rng(size).integers(0, 99, (*size, channels), np.uint8)
    table = preprocess.intensity_table(image) if stretched else None
    expected = resize_image(stretch_intensities(image) if stretched else image, new_size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preprocess, "STRIP_PIXELS", rows * size[1])
        assert np.array_equal(resize_image(image, new_size, table=table), expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1", "LA", "I;16", "F"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decoding_by_strips_changes_no_bit(tmp_path, monkeypatch, mode, orientation):
    monkeypatch.setattr(pil_arrays, "STRIP_PIXELS", 60)
    values = np.random.default_rng(0).integers(0, 255, (17, 23, 3), np.uint8)
    if mode in ("I;16", "F"):
        scale = np.uint16(257) if mode == "I;16" else np.float32(1 / 255)
        image = Image.fromarray(values[..., 0] * scale)
    else:
        image = Image.fromarray(values).convert(mode)
    image.getexif()[ORIENTATION] = orientation
    turned = ImageOps.exif_transpose(image)
    expected = read_image(np.asarray(turned if mode in ("I;16", "F") else turned.convert("RGB")))
    assert np.array_equal(read_image(image), expected)
    assert stored_view(expected, orientation).shape[:2] == (17, 23)


@pytest.mark.parametrize("size", [(90, 70), (900, 40), (31, 800)])
def test_drawing_by_strips_changes_no_bit(monkeypatch, size):
    random = np.random.default_rng(1)
    image = random.integers(0, 255, (*size, 3), np.uint8)
    shapes = []
    for number in range(9):
        starts = np.sort(random.choice(size[0] * size[1] - 9, 20, replace=False))
        lengths = np.minimum(9, np.diff(starts, append=size[0] * size[1]))
        box = (0.0, 0.0, float(size[1]), float(size[0]))
        shapes.append(DrawnSegment(f"c{number}", number % 4, number > 3, 0.5, box, starts, lengths))
    whole = np.asarray(draw_overlay(image, shapes))
    for pixels in (1, 2000):
        monkeypatch.setattr(overlay, "STRIP_PIXELS", pixels)
        assert np.array_equal(np.asarray(draw_overlay(image, shapes)), whole)


def test_only_the_first_page_of_many_is_decoded(tmp_path):
    page = Image.new("L", (64, 48), 7)
    others = [Image.new("L", (64, 48), value) for value in range(200)]
    page.save(tmp_path / "a.tif", save_all=True, append_images=others)
    with pytest.warns(UserWarning, match="only the first is read"):
        assert (read_image(tmp_path / "a.tif") == 7).all()


def test_a_sparse_array_is_read_by_strips(tmp_path):
    path = tmp_path / "a.npy"
    sparse = np.lib.format.open_memmap(path, "w+", np.uint16, (3000, 2000))
    sparse[10:20, 30:40] = 65535
    sparse.flush()
    image = read_image(path)
    assert image.shape == (3000, 2000, 3)
    assert image.any(axis=2).sum() == 100 and (image[10:20, 30:40] == 255).all()
