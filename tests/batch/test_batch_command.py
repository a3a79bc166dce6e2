"""`unimask batch` on the command line."""

import builtins
import os
import signal
import subprocess
import sys
import time

import pytest
from batch_runs import NUM_IMAGES, read_parts

from unimask.batch import PartWorker
from unimask.cli import batch_progress
from unimask.cli.batch import complete_ray

OPTIONS = ("--task", "instance", "--threshold", "0.1", "--rows-per-part", "2", "--device", "cpu")


def test_the_command_computes_and_continues(command, images, finished, model, tmp_path):
    arguments = ("batch", images, tmp_path / "out", "--model", model, *OPTIONS)
    code, printed, err = command(*arguments, "--shard", "2/2")
    assert (code, err) == (0, "")
    assert "shard 2/2: 3 images in" in printed and "2 of 4 parts belong to other shards" in printed
    code, printed, err = command(*arguments)
    assert code == 0 and "continuing: 3 of 7 images are done" in err
    assert f"{NUM_IMAGES} images in" in printed and "parts" not in printed
    assert read_parts(tmp_path / "out") == read_parts(finished)


def test_failed_images_are_printed_and_counted(command, images, model, tmp_path, monkeypatch):
    monkeypatch.setattr(batch_progress, "LOG_SECONDS", 0.0)
    monkeypatch.setattr(batch_progress, "MAX_SHOWN", 2)
    arguments = ("batch", images, tmp_path / "out", "--model", model, *OPTIONS)
    code, printed, err = command(*arguments, "--max-pixels", 9)
    assert code == 0 and "7 images could not be read" in printed
    assert err.count("9: raise max_pixels") == 2
    assert "7 of 7 images" in err and "images/s, 0:00:00 left" in err


def test_an_interruption_names_the_way_to_continue(command, images, model, tmp_path, monkeypatch):
    process = PartWorker.process

    def interrupted(self, part, progress=None):
        if part == 2:
            raise KeyboardInterrupt
        return process(self, part, progress)

    monkeypatch.setattr(PartWorker, "process", interrupted)
    arguments = ("batch", images, tmp_path / "out", "--model", model, *OPTIONS)
    code, _, err = command(*arguments)
    assert code == 130 and "run the same command again to continue" in err
    assert len(read_parts(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard", "3/2"), "--shard '3/2': pass NUMBER/COUNT"),
        (("--column", "path"), "is no table or archive"),
        (("--ray-actors", "2"), "need --ray"),
        (("--tile", "x"), "--tile x"),
        (("--rows-per-part", "2000000"), "rows per part"),
        (("--task", "depth"), "unknown task 'depth'"),
    ],
)
def test_errors_are_one_line(command, check_error, images, model, tmp_path, arguments, message):
    code, _, err = command("batch", images, tmp_path / "out", "-m", model, *arguments)
    check_error(code, err, message)


def test_missing_packages_name_their_extra(
    command, check_error, images, model, tmp_path, monkeypatch
):
    real_import = builtins.__import__

    def refuse(name, *rest, **more):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    code, _, err = command("batch", images, tmp_path / "out", "-m", model)
    check_error(code, err, "this needs pyarrow: pip install 'unimask[batch]'")


@pytest.mark.parametrize(
    ("given", "completed"),
    [
        (["a", "b", "--ray"], ["a", "b", "--ray", ""]),
        (["--ray", "a", "b"], ["--ray", "", "a", "b"]),
        (["--ray", "auto", "a"], ["--ray", "auto", "a"]),
        (["--ray", "10.0.0.1:6379", "a"], ["--ray", "10.0.0.1:6379", "a"]),
        (["--ray", "ray://head:10001"], ["--ray", "ray://head:10001"]),
        (["--ray", "--task", "x"], ["--ray", "", "--task", "x"]),
    ],
)
def test_the_address_of_ray_is_optional(given, completed):
    assert complete_ray(given) == completed


@pytest.mark.slow
def test_killed_runs_continue_to_the_same_output(images, finished, model, tmp_path):
    out = tmp_path / "out"
    arguments = [sys.executable, "-m", "unimask", "batch", images, out, "--model", model, *OPTIONS]
    times: dict[str, int] = {}
    for number in range(3):
        process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("part-*"))) <= number:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in out.glob("part-*"):
            modified = path.stat().st_mtime_ns
            assert times.setdefault(path.name, modified) == modified
    assert subprocess.run(arguments, capture_output=True, env=dict(os.environ)).returncode == 0
    assert read_parts(out) == read_parts(finished)
    assert not list(out.glob(".partial-*"))
