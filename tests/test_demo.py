"""`make demo` runs and prints results and scores."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unimask.inference.load import bundled_names

DEMO = Path(__file__).parents[1] / "scripts" / "demo.py"

pytestmark = pytest.mark.skipif("nuclei" not in bundled_names(), reason="nuclei is not bundled")


def run(*arguments, out) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, DEMO, *arguments, "--out", out]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)


def test_the_demo_prints_results_and_scores(tmp_path):
    done = run(out=tmp_path / "demo")
    assert done.returncode == 0 and done.stderr == ""
    actual = json.loads((tmp_path / "demo" / "field.json").read_text())
    assert f"{len(actual['segments'])} nucleus" in done.stdout
    for words in ("unimask predict", "preprocess", "network", "postprocess", "field_overlay.png"):
        assert words in done.stdout
    assert re.search(r"known\s+truth\s+of\s+\d+\s+nuclei", done.stdout)
    with Image.open(tmp_path / "demo" / "field_overlay.png") as overlay:
        assert overlay.height == 512


def test_the_demo_accepts_another_image(tmp_path, monkeypatch, command, capsys):
    """Run in this process; the test above starts another."""
    demo, errors = runpy.run_path(str(DEMO))["main"], []

    def predict(words):
        code, _, err = command(*words[3:])  # python -m unimask
        errors.append(err)
        return SimpleNamespace(returncode=code)

    monkeypatch.setitem(demo.__globals__, "subprocess", SimpleNamespace(run=predict))
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "dark.png")
    monkeypatch.setattr(
        sys, "argv", ["demo", str(tmp_path / "dark.png"), "--out", str(tmp_path / "demo")]
    )
    demo()
    assert "truth" not in capsys.readouterr().out and errors == [""]
    assert (tmp_path / "demo" / "dark.json").exists()
    monkeypatch.setattr(sys, "argv", ["demo", str(tmp_path / "gone.png")])
    with pytest.raises(SystemExit) as stopped:
        demo()
    assert stopped.value.code == 2
    assert errors[1].startswith("unimask: error: ") and errors[1].count("\n") == 1
