"""`make demo` runs, and says what a person needs to know."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unimask.inference.load import bundled_names

DEMO = Path(__file__).parents[1] / "scripts" / "demo.py"

pytestmark = pytest.mark.skipif("nuclei" not in bundled_names(), reason="nuclei is not bundled")


def run(*arguments, out) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, DEMO, *arguments, "--out", out]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)


def test_the_demo_tells_what_it_found_and_how_right_it_is(tmp_path):
    done = run(out=tmp_path / "demo")
    assert done.returncode == 0 and done.stderr == ""
    found = json.loads((tmp_path / "demo" / "field.json").read_text())
    assert f"{len(found['segments'])} nucleus" in done.stdout
    for words in ("unimask predict", "preprocess", "network", "postprocess", "field_overlay.png"):
        assert words in done.stdout
    assert re.search(r"known\s+truth\s+of\s+\d+\s+nuclei", done.stdout)
    with Image.open(tmp_path / "demo" / "field_overlay.png") as overlay:
        assert overlay.height == 512


def test_the_demo_takes_a_picture_of_yours(tmp_path):
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "dark.png")
    done = run(tmp_path / "dark.png", out=tmp_path / "demo")
    assert done.returncode == 0 and "truth" not in done.stdout
    assert (tmp_path / "demo" / "dark.json").exists()
    gone = run(tmp_path / "gone.png", out=tmp_path / "demo")
    assert gone.returncode == 2
    assert gone.stderr.startswith("unimask: error: ") and gone.stderr.count("\n") == 1
