"""The command as a person meets it: what it prints, what it writes, how it fails."""

import json
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from conftest import draw_discs, write_discs
from PIL import Image

import unimask
from unimask.cli.main import main


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `unimask ARGUMENTS` here; give exit code, stdout and stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["unimask", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "cells.png"
    Image.fromarray(draw_discs(0)[0]).save(path)
    return path


def huge_png(path) -> None:
    """Write a header that promises 30000 x 30000 pixels, and hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def one_line(code, err, *parts) -> None:
    assert code == 2
    assert err.startswith("unimask: error: ") and err.count("\n") == 1, err
    for part in parts:
        assert part in err, err


def test_predict_prints_and_writes(command, picture, tiny_model, tmp_path):
    out = tmp_path / "out"
    for task in ("panoptic", "instance", "semantic"):
        code, printed, err = command(
            "predict", picture, "--model", tiny_model, "--task", task, "--out", out
        )
        assert code == 0 and err == ""
        assert "cells.png" in printed and "96x128" in printed
        content = json.loads((out / "cells.json").read_text())
        assert content["task"] == task and content["size"] == [96, 128]
        with Image.open(out / "cells_ids.png") as ids:
            assert ids.size == (128, 96)
        with Image.open(out / "cells_overlay.png") as overlay:
            assert overlay.width > 128


def test_two_pictures_of_one_name_both_stay(command, tiny_model, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(draw_discs(0)[0]).save(tmp_path / folder / "x.png")
    code, _, _ = command(
        "predict", tmp_path / "a", tmp_path / "b", "-m", tiny_model, "-o", tmp_path / "out"
    )
    assert code == 0
    assert {p.name for p in (tmp_path / "out").glob("*.json")} == {"x.json", "x_2.json"}


def test_one_bad_picture_does_not_stop_the_others(command, picture, tiny_model, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    code, printed, err = command(
        "predict", tmp_path / "bad.png", picture, "-m", tiny_model, "-o", tmp_path / "out"
    )
    one_line(code, err, "bad.png", "not a picture")
    assert (tmp_path / "out" / "cells.json").exists() and "cells.png" in printed


def text_as_png(path):
    path.write_text("I am text")


def truncated_jpeg(path):
    Image.fromarray(draw_discs(0)[0]).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:700])


BAD = {
    "missing.png": (lambda path: None, "does not exist"),
    "text.png": (text_as_png, "not a picture"),
    "cut.jpg": (truncated_jpeg, "damaged"),
    "empty.png": (lambda path: path.touch(), "0 bytes"),
    "huge.png": (huge_png, "--max-pixels"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_are_one_line(command, tiny_model, tmp_path, name):
    make, reason = BAD[name]
    make(tmp_path / name)
    code, _, err = command("predict", tmp_path / name, "-m", tiny_model, "-o", tmp_path / "out")
    one_line(code, err, name, reason)


def test_the_limit_of_pixels_can_be_set(command, picture, tiny_model, tmp_path):
    code, _, err = command(
        "predict", picture, "-m", tiny_model, "-o", tmp_path / "o", "--max-pixels", "1000"
    )
    one_line(code, err, "cells.png", "more than 1,000", "--max-pixels")


ODD = {
    "one_pixel": lambda image: image.resize((1, 1)),
    "cmyk": lambda image: image.convert("CMYK"),
    "grey": lambda image: image.convert("L"),
    "rgba": lambda image: image.convert("RGBA"),
    "palette": lambda image: image.convert("P"),
    "sixteen_bit": lambda image: Image.fromarray(
        np.asarray(image.convert("L")).astype(np.uint16) * 257
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_work(command, picture, tiny_model, tmp_path, name):
    suffix = ".tif" if name == "cmyk" else ".png"
    path = tmp_path / f"{name}{suffix}"
    with Image.open(picture) as image:
        ODD[name](image).save(path)
    code, _, err = command("predict", path, "-m", tiny_model, "-o", tmp_path / "out")
    assert code == 0, err
    assert (tmp_path / "out" / f"{name}.json").exists()


@pytest.mark.filterwarnings("always::unimask.processing.pictures.PictureWarning")
def test_a_window_stretches_and_never_clips_silently(command, tiny_model, tmp_path):
    dark = (np.asarray(draw_discs(0)[0])[..., 0]).astype(np.uint16) * 4
    Image.fromarray(dark).save(tmp_path / "dark.png")
    arguments = ("predict", tmp_path / "dark.png", "-m", tiny_model, "-o", tmp_path / "out")
    code, _, err = command(*arguments, "--window", "0,500")
    assert code == 0 and "were clipped" in err
    code, _, err = command(*arguments, "--window", "auto")
    assert code == 0 and err == ""
    code, _, err = command(*arguments, "--window", "9,3")
    one_line(code, err, "LOW must be below HIGH")


def test_without_a_model_some_are_named(command, picture, tmp_path):
    code, _, err = command("predict", picture, "-o", tmp_path / "out")
    one_line(code, err, "--model", "facebook/mask2former-swin-tiny-coco-panoptic")


def test_an_unwritable_folder_is_found_before_the_work(command, picture, tiny_model, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = command("predict", picture, "-m", tiny_model, "-o", tmp_path / "file" / "out")
    one_line(code, err, "file", "cannot write")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("nowhere", "no model 'nowhere'"),
        ("mask2former-swin-tiny", "facebook/mask2former-swin-tiny-coco-panoptic"),
        (os.sep, "holds no model"),
    ],
)
def test_models_that_are_none(command, picture, tmp_path, model, reason):
    code, _, err = command("predict", picture, "-m", model, "-o", tmp_path / "out")
    one_line(code, err, reason)


def test_an_unknown_task_lists_the_known(command, picture, tiny_model, tmp_path):
    code, _, err = command("predict", picture, "-m", tiny_model, "-o", tmp_path, "--task", "depth")
    one_line(code, err, "depth", "semantic, instance, panoptic")


def test_evaluate_prints_and_writes(command, discs, tiny_model, tmp_path):
    target = tmp_path / "scores.json"
    code, printed, _ = command("evaluate", discs, "-m", tiny_model, "--json", target)
    assert code == 0 and "PQ_things" in printed
    report = json.loads(target.read_text())
    assert report["images"] == 2 and set(report) == {
        "task", "data", "split", "images", "metrics", "per_class",
    }  # fmt: skip


def test_masks_of_another_size_are_one_line(command, tiny_model, tmp_path):
    data = write_discs(tmp_path / "data", {"val": 1})
    mask = data / "val" / "masks" / "0.png"
    with Image.open(mask) as ids:
        small = ids.resize((64, 48), 0)
    small.save(mask)
    code, _, err = command("evaluate", data, "-m", tiny_model)
    one_line(code, err, str(mask), "48 x 64", "96 x 128")


def test_a_class_out_of_range_is_one_line(command, tiny_model, tmp_path):
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True), (data / "panoptic").mkdir()
    image, ids = draw_discs(0)
    Image.fromarray(image).save(data / "images" / "a.png")
    from unimask.formats.panoptic_png import encode_ids

    Image.fromarray(encode_ids((ids > 0).astype(int))).save(data / "panoptic" / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [
            {"id": 1, "name": "nucleus", "isthing": 1},
            {"id": 2, "name": "background", "isthing": 0},
        ],
        "annotations": [
            {
                "image_id": 1,
                "file_name": "a.png",
                "segments_info": [{"id": 1, "category_id": 99, "iscrowd": 0}],
            }
        ],
    }
    (data / "panoptic.json").write_text(json.dumps(content | {"images": content["images"]}))
    many = [dict(content["annotations"][0], image_id=1) for _ in range(5)]
    (data / "panoptic.json").write_text(json.dumps(content | {"annotations": many}))
    code, _, err = command("evaluate", data, "-m", tiny_model)
    one_line(code, err, "panoptic.json", "category 99")


def test_train_names_wrong_options(command, discs, tmp_path):
    code, _, err = command("train", discs, "--steps", "3", "--epochs", "2", "-o", tmp_path / "r")
    one_line(code, err, "--steps or --epochs")
    code, _, err = command("train", tmp_path / "nothing", "-o", tmp_path / "r")
    one_line(code, err, "is not a folder")


def test_version_and_help(command):
    code, printed, _ = command("--version")
    assert code == 0 and printed.strip() == f"unimask {unimask.__version__}"
    code, printed, _ = command("--help")
    assert code == 0
    for verb in ("predict", "train", "evaluate"):
        assert verb in printed


def test_help_starts_without_torch():
    code = (
        "import sys; sys.argv = ['unimask', '--help']\n"
        "from unimask.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip().endswith("False"), printed.stderr
