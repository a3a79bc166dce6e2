"""Single result files: own files are replaced, foreign ones only on request."""

import json

import pytest
from PIL import Image

from unimask.errors import OutputError, SettingsError
from unimask.formats.output_file import (
    GENERATOR,
    GENERATOR_TAG,
    check_image_suffix,
    check_output_files,
    is_written_by_unimask,
    write_image,
    write_report,
    write_text,
)

PAGE = f'<!doctype html><html><head>{GENERATOR_TAG}1.0"></head></html>'


def test_own_reports_are_replaced(tmp_path):
    path = tmp_path / "scores.json"
    for value in (1, 2):
        write_report(path, {"AP": value}, overwrite=False)
    assert json.loads(path.read_text()) == {"generator": GENERATOR, "AP": 2}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_own_images_are_replaced(tmp_path, suffix):
    path = tmp_path / f"board{suffix}"
    for grey in (0, 200):
        write_image(path, Image.new("RGB", (4, 4), (grey,) * 3), overwrite=False)
    with Image.open(path) as image:
        assert image.getpixel((0, 0))[0] > 150


FOREIGN = {
    "COCO's ground truth": lambda path: path.write_text('{"images": [], "annotations": []}'),
    "a report without its maker": lambda path: path.write_text('{"task": "instance"}'),
    "an empty file": lambda path: path.touch(),
    "a photograph": lambda path: Image.new("RGB", (4, 4)).save(path, "PNG"),
    "a page": lambda path: path.write_text("<!doctype html><html></html>"),
    "a link to a report of ours": lambda path: (
        write_report(path.with_suffix(".real"), {}, overwrite=False),
        path.symlink_to(path.with_suffix(".real")),
    ),
    "a link to nowhere": lambda path: path.symlink_to(path.with_suffix(".gone")),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_files_are_replaced_only_on_request(tmp_path, case):
    path = tmp_path / "file"
    FOREIGN[case](path)
    before = path.read_bytes() if path.exists() else None
    assert not is_written_by_unimask(path)
    with pytest.raises(OutputError, match=r"was not written by unimask .* or --overwrite"):
        check_output_files(path)
    with pytest.raises(OutputError, match="was not written by unimask"):
        write_text(path, "new", overwrite=False)
    assert (path.read_bytes() if path.exists() else None) == before
    check_output_files(path, overwrite=True)
    write_text(path, PAGE, overwrite=True)
    assert path.read_text() == PAGE and is_written_by_unimask(path) and not path.is_symlink()


def test_impossible_outputs_are_detected_before_the_work(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        check_output_files(tmp_path, overwrite=True)
    with pytest.raises(SettingsError, match="path of two outputs"):
        check_output_files(tmp_path / "a", tmp_path / "b" / ".." / "a", None)
    with pytest.raises(SettingsError, match="no suffix of a known image format"):
        check_image_suffix(tmp_path / "board.docx")
    check_image_suffix(tmp_path / "board.PNG")
