"""Known problems of other tools with files: replaced files, and names that cannot be printed."""

import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import draw_discs, write_discs
from PIL import Image

import unimask
from unimask.errors import OutputError
from unimask.formats.output_folder import OutputFolder
from unimask.labels import LabelSet
from unimask.results import Result

LABELME = '{"version": "5.0", "shapes": [], "imagePath": "img.png"}'


PLOT = Result.plot


@pytest.fixture(autouse=True)
def skip_drawing(monkeypatch):
    """Skip drawing: these tests check which files are written."""
    monkeypatch.setattr(Result, "plot", lambda self, **_: Image.new("RGB", (2, 2)))


@pytest.fixture
def images(tmp_path):
    """Folder of small images, some of them in subfolders."""
    folder = tmp_path / "images"
    for index, name in enumerate(("a.png", "b.png", "left/a.png", "left/deep/c.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_discs(index, (32, 48))[0]).save(folder / name)
    return folder


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def forbid_loading(monkeypatch):
    """Return a function that makes loading a model fail, since outputs are checked first."""

    def refuse(*_, **__):
        raise AssertionError("the work began before the outputs were checked")

    module = importlib.import_module("unimask.inference.load")
    return lambda: monkeypatch.setattr(module, "load", refuse)


def test_annotations_beside_the_images_are_never_replaced(
    command, check_error, images, tiny_model, forbid_loading
):
    """Elsewhere results with the names of annotations replace them."""
    forbid_loading()
    (images / "a.json").write_text(LABELME)
    code, _, err = command("predict", images, "-m", tiny_model, "-o", images)
    check_error(code, err, "a.json", "unimask did not write", "choose a new or empty folder")
    assert (images / "a.json").read_text() == LABELME
    assert files_below(images) == {"a.json", "a.png", "b.png", "left/a.png", "left/deep/c.png"}


def test_only_own_results_are_replaced(
    command, check_error, images, tiny_model, tmp_path, forbid_loading
):
    """Elsewhere manually corrected results are lost in the next run."""
    out = tmp_path / "out"
    run = ("predict", images / "a.png", images / "b.png", "-m", tiny_model, "-o", out)
    assert command(*run)[0] == 0 and command(*run)[0] == 0
    corrected = (out / "b.json").read_text().replace(" ", "")
    (out / "b.json").write_text(corrected)
    (out / "notes.txt").write_text("mine")
    code, printed, _ = command(*run[:2], *run[3:])  # b is no output of this command
    assert code == 0 and "a.png" in printed
    forbid_loading()
    code, _, err = command(*run)
    check_error(code, err, "b.json was changed since unimask wrote it")
    assert (out / "b.json").read_text() == corrected
    assert (out / "notes.txt").read_text() == "mine"


def test_python_results_follow_the_same_rule(tmp_path):
    result = Result("panoptic", (8, 8), LabelSet(("a",), (True,)), ())
    (tmp_path / "x.json").write_text(LABELME)
    with pytest.raises(OutputError, match=r"x.json.*choose a new or empty folder"):
        result.save(tmp_path, "x")
    for _ in range(2):
        result.save(tmp_path / "out", "x")
    (tmp_path / "out" / "x_ids.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"x_ids.png was changed"):
        result.save(tmp_path / "out", "x")
    with pytest.raises(OutputError, match="cannot be the name of a result"):
        result.save(tmp_path / "out", "../x")
    assert (tmp_path / "x.json").read_text() == LABELME


def test_saving_a_model_replaces_no_foreign_files(command, check_error, tiny_model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.safetensors").write_text("mine")
    code, _, err = command("export", tiny_model, "--out", out)
    check_error(code, err, "model.safetensors")
    with pytest.raises(OutputError, match=r"model.safetensors"):
        unimask.load(tiny_model, device="cpu").save(out)
    assert (out / "model.safetensors").read_text() == "mine"


def test_only_own_reports_are_replaced(command, check_error, discs, tiny_model, tmp_path):
    """Elsewhere `--json annotations.json`, meant as an input, overwrites the annotations."""
    scores, page = tmp_path / "scores.json", tmp_path / "page.html"
    run = ("evaluate", discs, "-m", tiny_model, "--json", scores, "--page", page)
    assert [command(*run)[0] for _ in range(2)] == [0, 0]
    scores.write_text('{"images": []}')
    for verb in (run, ("benchmark", "-m", tiny_model, "--json", scores)):
        code, _, err = command(*verb)
        check_error(code, err, "scores.json was not written by unimask", "--overwrite")
    code, _, err = command("compare", "a", "b", "--data", discs, "--json", scores)
    check_error(code, err, "scores.json was not written by unimask", "--overwrite")
    code, _, err = command("check", discs, "--preview", discs / "val" / "images" / "0.png")
    check_error(code, err, "0.png was not written by unimask")
    assert scores.read_text() == '{"images": []}'
    code, _, _ = command("check", discs, "--json", scores, "--overwrite")
    assert code == 0 and json.loads(scores.read_text())["generator"].startswith("unimask ")


def test_check_writes_only_requested_files(command, discs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = files_below(tmp_path)
    code, _, _ = command("check", discs)
    assert code == 0 and files_below(tmp_path) == before and not (tmp_path / "runs").exists()


def test_images_in_subfolders_are_found_and_keep_their_place(
    command, check_error, images, tiny_model, tmp_path
):
    """Elsewhere two images of one name in different folders share one result file."""
    out = images / "results"  # inside the input folder, but no input of the second run
    for _ in range(2):
        code, printed, _ = command("predict", images, "-m", tiny_model, "-o", out)
        assert code == 0 and "left/deep/c.png" in printed
        stems = ("a", "b", "left/a", "left/deep/c")
        endings = ("_overlay.png", "_ids.png", ".json")
        assert files_below(out) == {"unimask.json", *(s + e for s in stems for e in endings)}
    code, _, _ = command("predict", images, "-m", tiny_model, "-o", tmp_path, "--no-recursive")
    assert code == 2  # it contains the images
    flat = tmp_path / "flat"
    code, _, _ = command("predict", images, "-m", tiny_model, "-o", flat, "--no-recursive")
    assert code == 0 and {p.name for p in flat.glob("*_ids.png")} == {"a_ids.png", "b_ids.png"}
    assert len(unimask.load(tiny_model, device="cpu").predict(images)) == 4


def test_an_image_called_unimask_does_not_hide_the_record(command, tiny_model, tmp_path):
    Image.fromarray(draw_discs(0, (32, 48))[0]).save(tmp_path / "unimask.png")
    for _ in range(2):
        code, _, _ = command(
            "predict", tmp_path / "unimask.png", "-m", tiny_model, "-o", tmp_path / "out"
        )
        assert code == 0 and (tmp_path / "out" / "unimask_2.json").is_file()


def test_a_full_disk_stops_with_one_line(
    command, check_error, images, tiny_model, tmp_path, monkeypatch
):
    """Elsewhere thousands of images fail one after the other for the same reason."""
    for index in range(12):
        Image.fromarray(draw_discs(index, (32, 48))[0]).save(images / f"more{index:02}.png")
    real, written = OutputFolder.new_file, []

    def limited(self, name):
        written.append(name)
        if len(written) > 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, name)

    from unimask.formats import atomic

    def failing(self, name):
        try:
            return limited(self, name)
        except OSError as error:
            raise atomic.write_error(self.path / name, error) from error

    monkeypatch.setattr(OutputFolder, "new_file", failing)
    code, printed, err = command("predict", images, "-m", tiny_model, "-o", tmp_path / "out")
    check_error(code, err, "No space left on device", "of 16 results", "run the same command again")
    assert len(written) < 24 and "written to" in printed
    monkeypatch.setattr(OutputFolder, "new_file", real)
    assert command("predict", images, "-m", tiny_model, "-o", tmp_path / "out")[0] == 0


def test_one_bad_image_does_not_stop_the_other_batches(command, images, tiny_model, tmp_path):
    (images / "b.png").write_bytes(b"no image")
    code, _, err = command("predict", images, "-m", tiny_model, "-o", tmp_path / "out")
    assert code == 2 and err.count("\n") == 1 and "b.png" in err
    assert (tmp_path / "out" / "left" / "deep" / "c.json").is_file()


def test_empty_results_show_the_best_scores(command, images, tiny_model, tmp_path):
    """Elsewhere an empty result may mean a wrong model or a slightly too high threshold."""
    for task in ("instance", "panoptic"):
        run = ("predict", images / "a.png", "-m", tiny_model, "--task", task)
        code, printed, _ = command(*run, "--threshold", "1", "-o", tmp_path / task)
        line = next(line for line in printed.splitlines() if "highest scores" in line)
        assert code == 0 and line.startswith("a.png: nothing was found; highest scores: ")
        scores = [part.rsplit(" ", 1) for part in line.split(": ")[2].split(" (")[0].split(", ")]
        values = [float(score) for _, score in scores]
        assert len(scores) == 5 and values == sorted(values, reverse=True) and values[0] < 1
        assert {name for name, _ in scores} <= {"nucleus", "background"}
        code, printed, _ = command(*run, "--threshold", "0", "-o", tmp_path / task)
        assert code == 0 and "highest scores" not in printed


NAME = "x [b] :dog: \x1b[31m\u202e"


def test_names_in_files_send_no_terminal_commands(command, tiny_model, tmp_path, monkeypatch):
    """Elsewhere `[/b]` in a name is dropped or crashes the program, and escapes change colours."""
    image = tmp_path / f"{NAME}[-b].png"
    Image.fromarray(draw_discs(0, (32, 48))[0]).save(image)
    data = write_discs(tmp_path / "discs", {"train": 3, "val": 1})
    code, printed, err = command("predict", image, "-m", tiny_model, "-o", tmp_path / "out")
    assert code == 0 and err == ""
    assert "x [b] :dog: \\x1b[31m\\u202e[-b].png" in printed
    code, printed, _ = command("check", data, "--names", "[/b] :dog:\x07,\u202eground")
    assert code == 0 and "[/b] :dog:\\x07" in printed and "\\u202eground" in printed
    report = tmp_path / "r.json"
    code, _, err = command("check", data, "--names", "half \ud800,ground", "--json", report)
    assert code == 0 and json.loads(report.read_text("utf-8"))["passed"]
    for text in (printed, err):
        assert not any(mark in text for mark in ("\x1b", "\x07", "\u202e"))


def test_names_of_any_kind_can_be_drawn_and_shown_on_a_page(tmp_path):
    import numpy as np

    from unimask.evaluation.page import escape
    from unimask.formats.run_length import RunLength
    from unimask.results import Segment

    names = ("two\nlines", "half \ud800", "\u202ereversed", "long " * 5000)
    labels = LabelSet(names, (True, True, False, True))
    mask = np.zeros((40, 40), bool)
    mask[5:35, 5:35] = True
    segments = tuple(
        Segment.from_rle(labels, index, RunLength.from_mask(mask), id=index + 1, score=0.5)
        for index in range(4)
    )
    drawn = PLOT(Result("panoptic", (40, 40), labels, segments))
    assert drawn.width < 3000
    assert escape("<b>\ud800\u202e") == "&lt;b&gt;\\ud800\\u202e"


STOPPED = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
from unimask.cli.main import main
from unimask.formats.output_folder import OutputFolder
from contextlib import contextmanager
from PIL import Image
from unimask.results import Result
import time

real = OutputFolder.new_file

@contextmanager
def slow(self, name):
    with real(self, name) as path:
        yield path
        if "b_" in name:
            print("writing", flush=True)
            time.sleep(1.0)

OutputFolder.new_file = slow
Result.plot = lambda self: Image.new("RGB", (2, 2))
sys.argv = ["unimask", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_leaves_a_reusable_folder(command, images, tiny_model, tmp_path, kill):
    out = tmp_path / "out"
    arguments = ("predict", images, "-m", tiny_model, "-o", out)
    run = subprocess.Popen(
        [sys.executable, "-c", STOPPED, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdout is not None and run.stdout.readline() == "writing\n"
    time.sleep(0.1)
    run.send_signal(kill)
    _, err = run.communicate(timeout=60)
    assert "Traceback" not in err
    temporary_files = [path for path in out.rglob(".*")]
    if kill == signal.SIGINT:
        assert run.returncode == 130 and temporary_files == []
    else:
        assert temporary_files
    code, _, err = command(*arguments)
    assert code == 0 and err == ""
    assert list(out.rglob(".*")) == [] and len(files_below(out)) == 13
