"""The command and its subcommands: help, wrong command lines, interruptions, labelled folders."""

import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from conftest import draw_discs, write_discs
from PIL import Image

import unimask
from unimask.inference import load


def test_unwritable_folders_are_found_before_the_computation(
    command, check_error, image, tiny_model, tmp_path
):
    (tmp_path / "file").write_text("")
    code, _, err = command("predict", image, "-m", tiny_model, "-o", tmp_path / "file" / "out")
    check_error(code, err, "file", "cannot write")
    target = tmp_path / "file" / "scores.json"
    code, _, err = command("evaluate", tmp_path, "-m", tiny_model, "--json", target)
    check_error(code, err, "file", "cannot write")


WRONG = {
    "no verb of that name": (("frobnicate",), "unimask --help"),
    "no image": (("predict",), "unimask predict --help"),
    "an empty path": (("predict", "", "-m", "nuclei"), "empty path"),
    "no such option": (("predict", "x.png", "--resize", "2"), "unimask predict --help"),
    "no number": (("predict", "x.png", "--threshold", "much"), "unimask predict --help"),
    "out of range": (("predict", "x.png", "--threshold", "2"), "unimask predict --help"),
    "no device": (
        ("predict", "x.png", "-m", "nuclei", "--device", "abacus"),
        "this machine has auto, cpu",
    ),
    "no values": (
        ("predict", "x.png", "-m", "nuclei", "--device", "meta"),
        "this machine has auto, cpu",
    ),
    "no dtype": (("predict", "x.png", "-m", "nuclei", "--dtype", "int4"), "bfloat16"),
    "no window": (("predict", "x.png", "--window", "wide"), "LOW,HIGH"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_command_lines_are_one_line_errors(command, check_error, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    arguments, hint = WRONG[case]
    code, _, err = command(*arguments)
    check_error(code, err, hint)


def test_evaluate_prints_and_writes(command, discs, tiny_model, tmp_path):
    target = tmp_path / "scores.json"
    code, printed, _ = command("evaluate", discs, "-m", tiny_model, "--json", target)
    assert code == 0 and "Things" in printed and "nucleus" in printed
    report = json.loads(target.read_text())
    assert report["images"] == 2 and set(report) == {
        "generator", "task", "data", "description", "split", "images", "metrics", "per_class",
        "notes", "calibration",
    }  # fmt: skip


def test_evaluate_passes_its_options_to_load(command, discs, tiny_model, tmp_path, monkeypatch):
    loaded = []

    def record_load(*arguments, **options):
        loaded.append(load(*arguments, **options))
        return loaded[-1]

    module = importlib.import_module("unimask.evaluation.evaluate")
    monkeypatch.setattr(module, "load", record_load)
    code, _, _ = command("evaluate", discs, "-m", tiny_model, "--dtype", "bfloat16")
    assert code == 0 and loaded[0].dtype == torch.bfloat16
    code, _, err = command("evaluate", discs, "-m", tiny_model, "--dtype", "float12")
    assert code == 2 and "float12" in err
    squashing = shutil.copytree(tiny_model, tmp_path / "squashing")
    path = squashing / "preprocessor_config.json"
    preprocessor = json.loads(path.read_text()) | {"size": {"height": 64, "width": 96}}
    path.write_text(json.dumps(preprocessor))
    code, _, _ = command("evaluate", discs, "-m", squashing, "--preprocessing", "hub")
    assert code == 0 and loaded[-1].description.preprocessing.squash == (64, 96)


def test_masks_of_another_size_are_one_line(command, check_error, tiny_model, tmp_path):
    data = write_discs(tmp_path / "data", {"val": 1})
    mask = data / "val" / "masks" / "0.png"
    with Image.open(mask) as ids:
        small = ids.resize((64, 48), 0)
    small.save(mask)
    code, _, err = command("evaluate", data, "-m", tiny_model)
    check_error(code, err, str(mask), "48 x 64", "96 x 128")


def test_a_class_out_of_range_is_one_line(command, check_error, tiny_model, tmp_path):
    from unimask.formats.panoptic_png import encode_ids

    data = tmp_path / "data"
    (data / "images").mkdir(parents=True), (data / "panoptic").mkdir()
    image, ids = draw_discs(0)
    for name in "abcde":
        Image.fromarray(image).save(data / "images" / f"{name}.png")
        Image.fromarray(encode_ids((ids > 0).astype(int))).save(data / "panoptic" / f"{name}.png")
    segment = {"id": 1, "category_id": 99, "iscrowd": 0}
    names = [{"id": n, "image_id": n, "file_name": f"{name}.png"} for n, name in enumerate("abcde")]
    content = {
        "images": names,
        "categories": [
            {"id": 1, "name": "nucleus", "isthing": 1},
            {"id": 2, "name": "background", "isthing": 0},
        ],
        "annotations": [name | {"segments_info": [segment]} for name in names],
    }
    (data / "panoptic.json").write_text(json.dumps(content))
    code, _, err = command("evaluate", data, "-m", tiny_model)
    check_error(code, err, "panoptic.json", "category 99")


def test_train_names_wrong_options(command, check_error, discs, tmp_path):
    code, _, err = command("train", discs, "--steps", "3", "--epochs", "2", "-o", tmp_path / "r")
    check_error(code, err, "--steps or --epochs")
    code, _, err = command("train", tmp_path / "nothing", "-o", tmp_path / "r")
    check_error(code, err, "is not a folder")
    wrong = ("--backbone-weights", tmp_path / "resnet.pth", "-o", tmp_path / "r")
    code, _, err = command("train", discs, *wrong)
    check_error(code, err, "resnet.pth cannot be read")


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
        "from unimask.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip().endswith("False"), printed.stderr


def run_in_process(*arguments, then) -> tuple[int, str]:
    """Run the command in a separate process; return exit code and stderr after `then(process)`."""
    with subprocess.Popen(
        [sys.executable, "-m", "unimask", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts jobs in the background makes them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        then(process)
        assert process.stderr is not None
        err = process.stderr.read()
        return process.wait(timeout=60), err


on_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has other signals and pipes")


@on_posix
def test_interruptions_print_one_line(tiny_model, tmp_path):
    fifo = tmp_path / "endless.png"
    os.mkfifo(fifo)

    def interrupt(process):
        with fifo.open("wb"):  # returns when the command has opened the pipe and waits for data
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)

    code, err = run_in_process(
        "predict", fifo, "-m", tiny_model, "-o", tmp_path / "out", then=interrupt
    )
    assert (code, err) == (130, "unimask: stopped\n")


@on_posix
@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_a_closed_pipe_is_not_an_error(argument):
    code, err = run_in_process(argument, then=lambda process: process.stdout.close())
    assert code in (0, 1) and err == ""


@on_posix
@pytest.mark.parametrize(
    ("arguments", "redirected", "code", "err"),
    [
        (("models",), ">&-", 0, ""),
        (("models", "frob"), ">&- 2>&- <&-", 2, ""),
        (("--version",), ">/dev/full", 2, "unimask: error: the output: No space left on device\n"),
        (("models", "frob"), "2>/dev/full", 2, ""),
    ],
)
def test_closed_and_full_outputs_keep_the_exit_code(arguments, redirected, code, err):
    if "/dev/full" in redirected and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    line = shlex.join([sys.executable, "-m", "unimask", *arguments])
    done = subprocess.run(["sh", "-c", f"{line} {redirected}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, err)


def test_refused_commands_leave_no_empty_folder(command, check_error, image, tmp_path):
    out = tmp_path / "new" / "out"
    code, _, err = command("predict", image, "-m", tmp_path / "nothing", "-o", out)
    check_error(code, err, "nothing")
    code, _, err = command("export", "nuclei", "--out", out)
    check_error(code, err, "group")
    assert not out.parent.exists()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    code, _, err = command("predict", image, "-m", "nuclei", "-o", tmp_path / "link")
    check_error(code, err, "link", "cannot write")
