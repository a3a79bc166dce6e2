"""`unimask predict` on the command line: output, files and errors."""

import json
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from conftest import draw_discs
from PIL import Image

import unimask
from unimask.results import result_file_names


def huge_png(path) -> None:
    """Write a header that declares 30000 x 30000 pixels, and hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_predict_prints_and_writes(command, image, tiny_model, tmp_path):
    out = tmp_path / "out"
    for task in ("panoptic", "instance", "semantic"):
        code, printed, err = command(
            "predict", image, "--model", tiny_model, "--task", task, "--out", out
        )
        assert code == 0 and err == ""
        assert "cells.png" in printed and "96x128" in printed
        content = json.loads((out / "cells.json").read_text())
        assert content["task"] == task and content["size"] == [96, 128]
        with Image.open(out / "cells_ids.png") as ids:
            assert ids.size == (128, 96)
        with Image.open(out / "cells_overlay.png") as overlay:
            assert overlay.width > 128


def test_hub_preprocessing_is_selected_by_name(command, check_error, image, tiny_model, tmp_path):
    code, printed, _ = command("predict", "--help")
    assert code == 0 and "--preprocessing" in printed and "384x384" in printed
    arguments = ("predict", image, "-m", tiny_model, "-o", tmp_path / "out", "--preprocessing")
    code, _, err = command(*arguments, "hub")
    assert code == 0 and err == "" and (tmp_path / "out" / "cells.json").is_file()
    code, _, err = command(*arguments, "squash")
    check_error(code, err, "unknown preprocessing 'squash': choose authors or hub")


def test_images_of_one_name_are_all_written(command, tiny_model, tmp_path):
    for name in ("a/x.png", "b/x.png", "b/x_2.png", "c/X.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(draw_discs(0)[0]).save(tmp_path / name)
    folders = [tmp_path / folder for folder in "abc"]
    code, _, _ = command("predict", *folders, "-m", tiny_model, "-o", tmp_path / "out")
    assert code == 0
    written = {p.name for p in (tmp_path / "out").glob("*.json")} - {"unimask.json"}
    assert written == {"x.json", "x_2.json", "x_2_2.json", "X_3.json"}


def test_an_input_image_is_never_overwritten(command, check_error, image, tiny_model, tmp_path):
    truth = tmp_path / "cells_ids.png"
    truth.write_bytes(image.read_bytes())
    code, _, err = command("predict", image, truth, "-m", tiny_model, "-o", tmp_path)
    check_error(code, err, "cells.png, cells_ids.png", "choose a new or empty folder")
    assert truth.read_bytes() == image.read_bytes()


def test_result_file_names_equal_those_that_save_writes(tiny_model, tmp_path):
    paths = unimask.load(tiny_model).predict(draw_discs(0)[0]).save(tmp_path, "stem")
    assert {kind: path.name for kind, path in paths.items()} == result_file_names("stem")
    assert all(path.is_file() for path in paths.values())


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_the_confidence_is_written_on_request(command, image, tiny_model, tmp_path, task):
    out, stem = tmp_path / "out", "cells"
    arguments = ("predict", image, "-m", tiny_model, "--task", task, "--threshold", 0.1, "-o", out)
    assert command(*arguments)[0] == 0
    assert not (out / "cells_confidence.png").exists()
    assert command(*arguments, "--confidence")[0] == 0
    names = set(result_file_names(stem, confidence=True).values())
    assert {path.name for path in out.iterdir()} == names | {"unimask.json"}
    result = unimask.load(tiny_model).predict(image, task, threshold=0.1)
    with Image.open(out / "cells_confidence.png") as written:
        assert written.mode == "I;16" and written.size == (128, 96)
        values = np.asarray(written) / 65535
    np.testing.assert_allclose(values, result.confidence, atol=1e-4)
    code, _, err = command(*arguments, "--confidence")  # files of an earlier run are replaced
    assert code == 0 and err == ""


def test_a_foreign_confidence_is_never_overwritten(
    command, check_error, image, tiny_model, tmp_path
):
    arguments = ("predict", image, "-m", tiny_model, "-o", tmp_path / "out")
    assert command(*arguments)[0] == 0
    foreign = tmp_path / "out" / "cells_confidence.png"
    foreign.write_bytes(image.read_bytes())
    code, _, err = command(*arguments, "--confidence")
    check_error(code, err, "cells_confidence.png", "was not written by unimask")
    assert foreign.read_bytes() == image.read_bytes()


def test_uncertain_pixels_get_no_class_on_request(command, image, tiny_model, tmp_path):
    out = tmp_path / "out"
    arguments = ("predict", image, "-m", tiny_model, "--task", "semantic", "-o", out)
    whole = unimask.load(tiny_model).predict(image, "semantic").confidence
    threshold = round(float(np.median(whole)), 3)
    code, _, err = command(*arguments, "--threshold", threshold, "--confidence")
    assert code == 0 and err == ""
    with (
        Image.open(out / "cells_ids.png") as ids,
        Image.open(out / "cells_confidence.png") as confidence,
    ):
        is_none, levels = np.asarray(ids) == 255, np.asarray(confidence)
    assert 0.1 < is_none.mean() < 0.9 and (levels[is_none] == 0).all()
    assert levels[~is_none].min() >= np.floor(65535 * threshold)


def test_batches_write_the_same(command, check_error, tiny_model, tmp_path):
    (tmp_path / "in").mkdir()
    for index, size in enumerate([(60, 90), (60, 90), (90, 60), (60, 90)]):
        Image.fromarray(draw_discs(index, size)[0]).save(tmp_path / "in" / f"{index}.png")
    (tmp_path / "in" / "1b.png").write_text("no image")
    found = []
    for size in (1, 3):
        out = tmp_path / f"out{size}"
        code, _, err = command(
            "predict", tmp_path / "in", "-m", tiny_model, "-o", out, "--batch-size", size
        )
        check_error(code, err, "1b.png")
        found.append(
            {
                path.name: [
                    (s["label"], s["area"]) for s in json.loads(path.read_text())["segments"]
                ]
                for path in out.glob("*.json")
                if path.name != "unimask.json"
            }
        )
    assert found[0] == found[1] and len(found[0]) == 4


def test_one_bad_image_does_not_stop_the_others(command, image, tiny_model, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    code, printed, err = command(
        "predict",
        tmp_path / "bad.png",
        image,
        tmp_path / "gone.png",
        tmp_path / "none*",
        "-m",
        tiny_model,
        "-o",
        tmp_path / "out",
    )
    assert code == 2
    lines = err.splitlines()
    assert len(lines) == 3 and all(line.startswith("unimask: error: ") for line in lines)
    assert all(name in err for name in ("bad.png", "gone.png", "none*"))
    assert (tmp_path / "out" / "cells.json").exists() and "cells.png" in printed


def text_as_png(path):
    path.write_text("I am text")


def truncated_jpeg(path):
    Image.fromarray(draw_discs(0)[0]).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:700])


BAD_IMAGES = {
    "missing.png": (lambda path: None, "does not exist"),
    "text.png": (text_as_png, "not an image"),
    "cut.jpg": (truncated_jpeg, "damaged"),
    "empty.png": (lambda path: path.touch(), "0 bytes"),
    "huge.png": (huge_png, "--max-pixels"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images_are_one_line_errors(command, check_error, tiny_model, tmp_path, name):
    make, reason = BAD_IMAGES[name]
    make(tmp_path / name)
    code, _, err = command("predict", tmp_path / name, "-m", tiny_model, "-o", tmp_path / "out")
    check_error(code, err, name, reason)


def test_the_pixel_limit_is_an_option(command, check_error, image, tiny_model, tmp_path):
    code, _, err = command(
        "predict", image, "-m", tiny_model, "-o", tmp_path / "o", "--max-pixels", "1000"
    )
    check_error(code, err, "cells.png", "more than 1,000", "--max-pixels")


CONVERSIONS = {
    "one_pixel": lambda image: image.resize((1, 1)),
    "cmyk": lambda image: image.convert("CMYK"),
    "grey": lambda image: image.convert("L"),
    "rgba": lambda image: image.convert("RGBA"),
    "palette": lambda image: image.convert("P"),
    "sixteen_bit": lambda image: Image.fromarray(
        np.asarray(image.convert("L")).astype(np.uint16) * 257
    ),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_odd_images_work(command, image, tiny_model, tmp_path, name):
    suffix = ".tif" if name == "cmyk" else ".png"
    path = tmp_path / f"{name}{suffix}"
    with Image.open(image) as opened:
        CONVERSIONS[name](opened).save(path)
    code, _, err = command("predict", path, "-m", tiny_model, "-o", tmp_path / "out")
    assert code == 0, err
    assert (tmp_path / "out" / f"{name}.json").exists()


def test_images_are_turned_upright(command, image, tiny_model, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(image) as opened:
        opened.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    code, printed, _ = command(
        "predict", tmp_path / "turned.jpg", "-m", tiny_model, "-o", tmp_path / "out"
    )
    assert code == 0 and "128x96" in printed


@pytest.mark.filterwarnings("always::unimask.processing.images.ImageWarning")
def test_a_window_stretches_and_never_clips_silently(command, check_error, tiny_model, tmp_path):
    dark = (np.asarray(draw_discs(0)[0])[..., 0]).astype(np.uint16) * 4
    Image.fromarray(dark).save(tmp_path / "dark.png")
    arguments = ("predict", tmp_path / "dark.png", "-m", tiny_model, "-o", tmp_path / "out")
    code, _, err = command(*arguments, "--window", "0,500")
    assert code == 0 and "were clipped" in err
    code, _, err = command(*arguments, "--window", "auto")
    assert code == 0 and err == ""
    code, _, err = command(*arguments, "--window", "9,3")
    check_error(code, err, "LOW must be below HIGH")


def test_a_missing_model_option_lists_examples(command, check_error, image, tmp_path):
    code, _, err = command("predict", image, "-o", tmp_path / "out")
    check_error(code, err, "--model", "facebook/mask2former-swin-tiny-coco-panoptic")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("nowhere", "no model 'nowhere'"),
        ("mask2former-swin-tiny", "facebook/mask2former-swin-tiny-coco-panoptic"),
        ("unimask-nano", "load weights of it: nuclei"),
        ("mask2former-resnet50", "downloaded from: https://dl.fbaipublicfiles.com"),
        ("oneformer-resnet50-coco", "none of this one are published"),
        ("mask2former-swin-base-coco-instance", "facebook/mask2former-swin-base-coco-instance"),
        (os.sep, "holds no model"),
    ],
)
def test_invalid_models_are_refused(command, check_error, image, tmp_path, model, reason):
    code, _, err = command("predict", image, "-m", model, "-o", tmp_path / "out")
    check_error(code, err, reason)


def test_an_unknown_task_lists_the_known(command, check_error, image, tiny_model, tmp_path):
    code, _, err = command(
        "predict", image, "-m", tiny_model, "-o", tmp_path / "out", "--task", "depth"
    )
    check_error(code, err, "depth", "semantic, instance, panoptic")


def test_running_out_of_memory_is_one_line(
    command, check_error, image, tiny_model, tmp_path, monkeypatch
):
    def allocate(*_):
        torch.empty(10**15)

    monkeypatch.setattr("unimask.inference.predictor.Predictor.run", allocate)
    code, _, err = command("predict", image, "-m", tiny_model, "-o", tmp_path / "out")
    check_error(code, err, "out of memory", "--batch-size")


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no line ends in names")
def test_line_breaks_in_names_add_no_table_rows(command, image, tiny_model, tmp_path):
    renamed = image.rename(tmp_path / "a\nb.png")
    code, printed, _ = command("predict", renamed, "-m", tiny_model, "-o", tmp_path / "out")
    assert code == 0 and "a\\nb.png" in printed and "\nb.png" not in printed
