"""`unimask check` and `unimask convert` on the command line."""

import json

from conftest import write_discs


def test_an_intact_dataset_passes(command, tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1})
    image, report = tmp_path / "board.png", tmp_path / "report.json"
    code, out, _ = command(
        "check", data, "--names", "disc,ground", "--preview", image, "--json", report
    )
    assert code == 0 and "train 3 (3 read, 0 corrupt, 0 empty)" in out and "disc" in out
    assert "labels: each value above 0 is an object" in out
    assert image.exists() and json.loads(report.read_text())["passed"]


def test_severe_findings_exit_with_1_and_list_files(command, tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1})
    (data / "train" / "images" / "1.png").write_bytes(b"")
    code, out, _ = command("check", data, "--preview", tmp_path / "board.png")
    assert code == 1 and "error: train: 1 image cannot be read" in out and "1.png" in out


def test_a_missing_dataset_is_a_one_line_error(command, check_error, tmp_path):
    code, _, err = command("check", tmp_path, "--preview", tmp_path / "board.png")
    check_error(code, err, "contains no dataset")


def test_convert_reports_what_it_wrote(command, check_error, tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1})
    code, out, _ = command("convert", data, tmp_path / "out", "--to", "coco-panoptic", "--link")
    assert code == 0 and "train 3, val 1 images" in out
    assert (tmp_path / "out" / "annotations" / "panoptic_train.json").is_file()
    code, _, err = command("convert", data, tmp_path / "out", "--to", "coco-panoptic")
    check_error(code, err, "not empty")
    code, _, err = command("convert", data, tmp_path / "new", "--to", "voc")
    check_error(code, err, "choose one of")


def test_the_format_of_label_maps_can_be_given(command, check_error, tmp_path):
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1}, objects=9)
    maps = ("--format", "semantic maps")
    image = ("--preview", tmp_path / "board.png")
    code, out, _ = command("check", data, *maps, *image)
    assert "class 0" in out and " stuff " in out and " thing " not in out
    code, out, _ = command("convert", data, tmp_path / "out", "--to", "semantic", *maps)
    assert code == 0 and "class 0" in (tmp_path / "out" / "classes.json").read_text()
    code, _, err = command("check", data, "--format", "LabelMe", *image)
    check_error(code, err, "not in the format LabelMe: it may be semantic maps or instance ids")
