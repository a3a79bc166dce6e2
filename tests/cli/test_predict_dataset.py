"""`unimask predict --to`: pre-labels for a labelling tool."""

import json
import os

import numpy as np
import pytest
from conftest import draw_discs
from PIL import Image

from unimask.datasets import open_dataset


@pytest.fixture
def photos(tmp_path):
    """A folder of photographs, one of them in a subfolder, with a name that occurs twice."""
    for number, name in enumerate(("0.png", "1.png", "inner/1.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(draw_discs(number)[0]).save(path)
    return tmp_path / "photos"


@pytest.mark.parametrize("to", ["labelme", "coco", "cvat"])
def test_a_stranger_gets_labels_to_correct(command, photos, tmp_path, to):
    """The two lines of the documentation."""
    out = tmp_path / "prelabels"
    code, printed, err = command("predict", photos, "--model", "nuclei", "--to", to, "--out", out)
    assert code == 0 and err == "" and f"{to}: 3 images" in printed and "nucleus" in printed
    code, printed, err = command("check", out)
    assert code == 0 and err == "" and "no problems found" in printed
    dataset = open_dataset(out)
    assert dataset.labels.names == ("nucleus", "background")
    assert {path.name for path in dataset.paths} == {"0.png", "1.png", "inner_1.png"}
    assert dataset.count_things().sum() >= 10


def test_a_threshold_selects_and_scores_are_kept(command, photos, tmp_path):
    counts = []
    for threshold in (0.5, 0.97):
        out = tmp_path / f"out{threshold}"
        code, _, _ = command(
            "predict", photos, "-m", "nuclei", "--to", "labelme", "-o", out,
            "--threshold", threshold,
        )  # fmt: skip
        files = [json.loads(path.read_text()) for path in out.glob("*.json")]
        scores = [shape["score"] for content in files for shape in content["shapes"]]
        assert code == 0 and len(files) == 3 and min(scores) >= threshold
        counts.append(len(scores))
    assert counts[0] >= counts[1] > 0


def test_images_without_objects_are_listed_and_kept(command, tiny_model, photos, tmp_path):
    code, printed, _ = command(
        "predict", photos, "-m", tiny_model, "--to", "labelme", "-o", tmp_path / "out",
        "--task", "instance", "--threshold", 1,
    )  # fmt: skip
    assert code == 0 and "3 images" in printed and "nothing was found" in printed
    assert len(open_dataset(tmp_path / "out").paths) == 3


def test_images_are_linked(command, tiny_model, photos, tmp_path):
    code, _, _ = command(
        "predict", photos, "-m", tiny_model, "--to", "semantic", "-o", tmp_path / "out", "--link"
    )
    assert code == 0 and os.path.islink(tmp_path / "out/all/images/inner_1.png")
    with Image.open(tmp_path / "out/all/masks/inner_1.png") as image:
        assert np.asarray(image).shape == (96, 128)


def test_unreadable_images_are_one_line_each(command, tiny_model, photos, tmp_path):
    (photos / "bad.png").write_text("no image")
    arguments = ("-m", tiny_model, "--to", "labelme", "-o", tmp_path / "out")
    code, printed, err = command("predict", photos, tmp_path / "gone.png", *arguments)
    assert code == 2 and "3 images" in printed
    assert sorted(line.split("/")[-1].split()[0] for line in err.splitlines()) == [
        "bad.png", "gone.png",
    ]  # fmt: skip
    assert len(list((tmp_path / "out").glob("*.json"))) == 3


def test_nothing_is_written_if_no_image_can_be_read(command, check_error, tiny_model, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    code, _, err = command(
        "predict", tmp_path / "bad.png", "-m", tiny_model, "--to", "coco", "-o", tmp_path / "out"
    )
    check_error(code, err, "bad.png")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "voc"), "choose one of coco, coco-panoptic"),
        (("--to", "coco", "--outlines", "simple"), "has no effect on coco"),
        (("--to", "labelme", "--outlines", "rough"), "choose one of exact, simple"),
        (("--to", "labelme", "--confidence"), "--confidence writes an image for each"),
        (("--link",), "--link needs --to"),
        (("--outlines", "exact"), "--outlines needs --to"),
    ],
)
def test_wrong_options_are_refused_before_the_model_is_read(
    command, check_error, photos, tmp_path, arguments, message
):
    out = tmp_path / "out"
    code, _, err = command("predict", photos, "-m", "missing", "-o", out, *arguments)
    check_error(code, err, message)
    assert not out.exists()


def test_only_new_folders_outside_of_the_images_are_written(command, check_error, photos, tmp_path):
    common = ("predict", photos, "-m", "missing", "--to", "labelme", "-o")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    check_error(*command(*common, tmp_path / "mine")[::2], "is not empty (it holds notes.txt)")
    check_error(*command(*common, photos / "labels")[::2], "is inside the dataset")


def test_tasks_without_objects_are_refused_by_lists_of_objects(
    command, check_error, tiny_model, photos, tmp_path
):
    code, _, err = command(
        "predict", photos, "-m", tiny_model, "--to", "coco", "-o", tmp_path / "out",
        "--task", "semantic",
    )  # fmt: skip
    check_error(code, err, "all classes are stuff")
    assert not (tmp_path / "out").exists()


def test_an_interruption_leaves_nothing(command, photos, tmp_path, monkeypatch):
    import unimask.curation.predictions as module

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_result", interrupt)
    code, _, _ = command("predict", photos, "-m", "nuclei", "--to", "coco", "-o", tmp_path / "out")
    assert code == 130 and [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_full_disk_is_one_line_and_leaves_nothing(
    command, check_error, photos, tmp_path, monkeypatch
):
    import errno

    import unimask.curation.predictions as module

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfile", fail)
    code, _, err = command("predict", photos, "-m", "nuclei", "--to", "cvat", "-o", tmp_path / "o")
    check_error(code, err, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
