"""`unimask select` on the command line."""

import json

from PIL import Image


def test_select_prints_copies_and_draws(command, check_error, discs, tiny_model, tmp_path):
    sheet, report, out = (tmp_path / name for name in ("sheet.png", "s.json", "next"))
    arguments = ("select", discs / "train" / "images", "-m", tiny_model, "-n", "3")
    code, printed, err = command(*arguments, "--sheet", sheet, "--json", report, "--out", out)
    assert code == 0 and err == "" and "3 of 6 images selected" in printed
    names = [row["path"].rsplit("/")[-1] for row in json.loads(report.read_text())["images"]]
    assert sorted(path.name for path in out.glob("*.png")) == sorted(names) and len(names) == 3
    with Image.open(sheet) as image:
        assert image.width > 1000
    (tmp_path / "mine.png").write_bytes(b"mine")
    code, _, err = command(*arguments, "--sheet", tmp_path / "mine.png")
    check_error(code, err, "not written by unimask")
    assert (tmp_path / "mine.png").read_bytes() == b"mine"


def test_select_needs_images_and_a_model(command, check_error, tiny_model, tmp_path):
    code, _, err = command("select", tmp_path / "nowhere", "-m", tiny_model)
    check_error(code, err, "nowhere")
    code, _, err = command("select", tmp_path, "-n", "3")
    check_error(code, err, "--model")
