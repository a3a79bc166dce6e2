"""`make demo` runs commands and says where their results are."""

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

DEMO = Path(__file__).parents[1] / "scripts" / "demo.py"


@pytest.fixture
def demo(monkeypatch, command, capsys):
    """Return a function that runs the demo in this process, and returns exit code and output."""
    namespace = runpy.run_path(str(DEMO))

    def run_here(words, **_):
        code, printed, errors = command(*words[3:])  # python -m unimask
        print(printed, errors)
        return SimpleNamespace(returncode=code)

    def run(*arguments):
        monkeypatch.setitem(
            namespace["main"].__globals__, "subprocess", SimpleNamespace(run=run_here)
        )
        monkeypatch.setattr(sys, "argv", ["demo", *map(str, arguments)])
        try:
            namespace["main"]()
        except SystemExit as stopped:
            return stopped.code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    return run


@pytest.mark.slow
def test_scenes_are_segmented_in_three_tasks_and_scored(tmp_path):
    command = [sys.executable, str(DEMO), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for task in ("semantic", "instance", "panoptic"):
        overlays = sorted((tmp_path / task).glob("*_overlay.png"))
        assert len(overlays) == 3 and f"--task {task}" in done.stdout
        with Image.open(overlays[0]) as overlay:
            assert overlay.height == 512
    assert "$ python -m recipes.rendered_town" in done.stdout and "PQ" in done.stdout
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0 and "recipes" not in again.stdout  # the scenes are there


def test_an_image_of_nuclei_is_segmented(tmp_path, demo):
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "dark.png")
    code, printed = demo(tmp_path / "dark.png", "--out", tmp_path / "demo")
    assert code == 0 and "dark_overlay.png" in printed
    assert (tmp_path / "demo" / "dark.json").exists()


def test_the_demo_ends_with_the_exit_code_of_its_command(tmp_path, demo):
    code, printed = demo(tmp_path / "gone.png", "--out", tmp_path / "demo")
    assert code == 2 and "unimask: error: " in printed and "look at" not in printed
