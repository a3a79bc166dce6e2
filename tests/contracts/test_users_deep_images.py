"""Images deeper than 8 bits that use little of their range are reported, with a fix."""

import json
import struct
import warnings
import zlib
from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY_RESNET, draw_discs, tiny_checkpoint, with_description
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from PIL import Image

import unimask
from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.errors import CheckpointError, DataError, SettingsError
from unimask.presets import PRESETS
from unimask.processing.images import read_image
from unimask.processing.intensities import percentiles
from unimask.processing.value_ranges import RangeWarning
from unimask.training.settings import TrainingSettings

TWELVE_BITS = (0.0, 4095.0)
SIZE = (32, 40)


def twelve_bits(image):
    return (image[..., 0].astype(np.uint16) << 4) + 3


DEEP = {
    "12 bits in uint16": lambda image: (".png", twelve_bits(image)),
    "8 bits in uint32": lambda image: (".npy", image[..., 0].astype(np.uint32)),
    "8 bits in int32": lambda image: (".npy", image[..., 0].astype(np.int32)),
    "8 bits in uint64": lambda image: (".npy", image.astype(np.uint64)),
    "12 bits as floats of 16": lambda image: (".npy", twelve_bits(image) / np.float32(65535)),
    "12 bits in int16": lambda image: (".npy", twelve_bits(image).astype(np.int16)),
    "12 bits above an offset": lambda image: (".npy", twelve_bits(image) + np.uint16(32768)),
}
SEVERE_KINDS = {
    "8 bits in uint32": ("black", "0,255"),
    "8 bits in int32": ("black", "0,255"),
    "8 bits in uint64": ("black", "0,255"),
    "12 bits above an offset": ("one grey", "--window 33"),
}


def write_deep(folder, name, count=3):
    """Write discs and their masks, in one folder without splits."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        image, ids = draw_discs(number, SIZE, count=3)
        suffix, values = DEEP[name](image)
        path = folder / "images" / f"{number}{suffix}"
        if suffix == ".npy":
            np.save(path, values)
        else:
            Image.fromarray(values).save(path)
        Image.fromarray(((ids > 0) * 255).astype(np.uint8)).save(folder / "masks" / f"{number}.png")
    return folder


def write_deep_colours(path, values):
    """Write a PNG with 16 bits per channel, which pillow cannot."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(rows), b"IEND")
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


@pytest.mark.filterwarnings("always::unimask.processing.images.ImageWarning")
@pytest.mark.parametrize("name", ["12 bits in uint16", *SEVERE_KINDS])
def test_predict_warns_once_of_dark_images(command, tiny_model, tmp_path, name):
    images = write_deep(tmp_path / "data", name) / "images"
    kind, window = SEVERE_KINDS.get(name, ("nearly black", ""))
    option = window if window.startswith("--") else f"--window {window}"
    code, _, err = command("predict", images, "-m", tiny_model, "-o", tmp_path / "out")
    assert code == 0 and err.count("\n") == 1, err
    assert "3 images, the first" in err and kind in err and option in err and "--window auto" in err


@pytest.mark.parametrize("name", ["12 bits in int16", *SEVERE_KINDS])
def test_black_images_are_severe_and_dark_ones_a_note(command, tmp_path, name):
    data = write_deep(tmp_path / "data", name)
    kind, _ = SEVERE_KINDS.get(name, ("nearly black", ""))
    arguments = ("check", data, "--preview", tmp_path / "board.png", "--json", tmp_path / "r.json")
    code, printed, err = command(*arguments)
    assert code == (1 if kind == "black" else 0) and err == "", printed
    lines = [line for line in printed.splitlines() if "--window" in line]
    assert len(lines) == 1 and "3 images" in lines[0] and kind in lines[0]
    assert lines[0].startswith("error: " if kind == "black" else "note: ")
    actual = json.loads((tmp_path / "r.json").read_text())["findings"]
    assert [len(f["files"]) for f in actual if "--window" in f["message"]] == [3]
    code, printed, _ = command(*arguments, "--window", "auto")
    assert code == 0 and "--window" not in printed


def test_warnings_name_the_range_and_its_effect():
    values = twelve_bits(draw_discs(0)[0])
    with pytest.warns(RangeWarning, match=r"from 0 to 65535 .* nearly black, at most \d+ of 255"):
        actual = read_image(values)
    with pytest.warns(RangeWarning, match="--window 0,4095 or --window auto"):
        read_image(values)
    assert actual.max() <= 15
    assert read_image(values, window=TWELVE_BITS).max() > 180


@pytest.mark.parametrize("name", DEEP)
def test_all_dark_value_types_warn_and_auto_fixes_them(name):
    _, values = DEEP[name](draw_discs(0, SIZE, count=3)[0])
    with pytest.warns(RangeWarning, match=SEVERE_KINDS.get(name, ("nearly black", ""))[0]):
        read_image(values)
    with warnings.catch_warnings(action="error"):
        assert np.ptp(read_image(values, window="auto")) == 255


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((9, 9), np.uint16),  # blank: no window would help
        np.full((9, 9), 300, np.uint32),
        np.linspace(0, 65535, 100).reshape(10, 10).astype(np.uint16),
        np.linspace(0, 1, 100).reshape(10, 10),
    ],
)
def test_no_warning_for_images_that_use_their_range_or_are_blank(values):
    with warnings.catch_warnings(action="error"):
        read_image(values)


def test_a_hot_pixel_does_not_hide_a_dark_image():
    values = np.tile(twelve_bits(draw_discs(0)[0]), (4, 4))
    values[5, 5] = 65535
    with pytest.warns(RangeWarning, match=r"nearly black.*--window 0,4095"):
        read_image(values)


def test_truncated_16_bit_colours_warn_too(tmp_path):
    values = np.repeat(twelve_bits(draw_discs(0)[0])[..., None], 3, axis=2)
    path = tmp_path / "a.png"
    write_deep_colours(path, values)
    with pytest.warns(RangeWarning, match="nearly black"):
        read_image(path)


def test_a_dark_channel_of_a_multichannel_image_warns():
    stack = np.stack([twelve_bits(draw_discs(n)[0]) * 16 for n in range(4)], axis=-1)
    with warnings.catch_warnings(action="error"):
        read_image(stack, channels=4)
    stack[..., 2] //= 16
    with pytest.warns(RangeWarning, match="nearly black"):
        read_image(stack, channels=4)


def test_floats_beyond_one_are_refused_with_their_range(command, check_error, tiny_model, tmp_path):
    np.save(tmp_path / "a.npy", twelve_bits(draw_discs(0)[0]).astype(np.float32))
    code, _, err = command("predict", tmp_path / "a.npy", "-m", tiny_model, "-o", tmp_path / "out")
    check_error(code, err, "floats outside 0..1, from", "--window")


@pytest.fixture(scope="module")
def windowed_run(tmp_path_factory):
    """Network trained for two steps on images of 12 bits."""
    folder = tmp_path_factory.mktemp("windowed")
    data = write_deep(folder / "data", "12 bits in uint16", count=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", lambda classes: replace(TINY_RESNET, num_classes=classes))
        run = unimask.train(
            data, "tiny", task="semantic", out=folder / "run", steps=2, size=64, batch_size=2,
            workers=0, window=TWELVE_BITS, quiet=True,
        )  # fmt: skip
    return data, run.folder


def test_a_model_predicts_with_the_window_it_was_trained_with(windowed_run):
    data, run = windowed_run
    model = unimask.load(run)
    assert model.description.preprocessing.window == TWELVE_BITS
    image = data / "images" / "0.png"
    expected = read_image(image, window=TWELVE_BITS)
    assert (model.predict(image).image == expected).all()
    assert (model.predict(expected, window=(0, 255)).image == expected).all()
    with pytest.warns(RangeWarning, match="from 0 to 65535"):
        assert model.predict(image, window=(0, 65535)).image.max() <= 15


def test_evaluation_uses_the_window_of_training(windowed_run):
    data, run = windowed_run
    default = unimask.evaluate(data, run, split="val")
    report = unimask.evaluate(data, run, split="val", window=TWELVE_BITS)
    assert default["metrics"] == report["metrics"]


def test_training_warns_of_dark_images_once(tmp_path, monkeypatch, recwarn):
    monkeypatch.setitem(PRESETS, "tiny", lambda classes: replace(TINY_RESNET, num_classes=classes))
    settings = {"steps": 2, "size": 64, "batch_size": 2, "workers": 0, "quiet": True}
    data = write_deep(tmp_path / "dark", "12 bits in uint16", count=5)
    with pytest.warns(UserWarning, match="images, the first") as warned:
        unimask.train(data, "tiny", task="semantic", out=tmp_path / "run", **settings)
    assert len([w for w in warned if "--window" in str(w.message)]) == 1
    data = write_deep(tmp_path / "black", "8 bits in uint32", count=5)
    with pytest.raises(DataError, match=r"become black.*--window 0,255"):
        unimask.train(data, "tiny", task="semantic", out=tmp_path / "two", **settings)


@pytest.mark.parametrize("window", [(5, 1), ("a", "b"), "wide", (0.0, float("nan")), 7])
def test_invalid_windows_are_refused_before_training(window):
    with pytest.raises((SettingsError, TypeCheckError), match=r"is no window|Type-check"):
        TrainingSettings(window=window)


def test_windows_round_trip_through_model_folders(tmp_path):
    checkpoint = tiny_checkpoint()
    for window in (TWELVE_BITS, (-1000.0, 4e9), "auto", None):
        rules = replace(checkpoint.description.preprocessing, window=window)
        write_huggingface(tmp_path / "m", with_description(checkpoint, preprocessing=rules))
        assert read_huggingface(tmp_path / "m").description.preprocessing == rules
        assert read_huggingface(tmp_path / "m", "hub").description.preprocessing.window == window
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    for broken in ([5, 1], "wide", [0], {"low": 1}):
        config["unimask"]["preprocessing"]["window"] = broken
        (tmp_path / "m" / "config.json").write_text(json.dumps(config))
        with pytest.raises(CheckpointError):
            read_huggingface(tmp_path / "m")


@given(
    st.sampled_from([np.uint8, np.int8, np.uint16, np.int16]),
    st.integers(1, 300),
    st.integers(0, 2**32 - 1),
)
def test_counted_percentiles_are_numpys(dtype, size, seed):
    info = np.iinfo(dtype)
    values = np.random.default_rng(seed).integers(info.min, info.max, (size, 3, 1), dtype, True)
    assert percentiles(values) == pytest.approx(
        np.percentile(values.astype(float), (0.1, 99.9)).tolist()
    )
