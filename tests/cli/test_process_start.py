"""What a command imports: a process starts in little time only if it imports little."""

import re
import subprocess
import sys

import pytest
from conftest import draw_discs
from PIL import Image

from unimask.cli.main import COMMANDS

OTHERS = {
    "scipy", "matplotlib", "huggingface_hub", "transformers", "lightning_fabric", "pycocotools",
    "torch._dynamo", "unimask.curation", "unimask.datasets", "unimask.evaluation", "unimask.losses",
    "unimask.metrics", "unimask.profiling", "unimask.selection", "unimask.training",
}  # fmt: skip
"""Modules that prediction does not need."""

WEIGHTS = {
    "unimask.checkpoints", "unimask.modeling", "unimask.kernels.deformable_attention",
    "unimask.inference.compiled", "safetensors",
}  # fmt: skip
"""Modules that only networks of PyTorch need."""


@pytest.fixture
def image(tmp_path):
    Image.fromarray(draw_discs(0)[0]).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def imported(*arguments) -> set[str]:
    """Run a command in a process of its own, and return the modules that it has imported."""
    program = (
        "import atexit, sys\n"
        f"sys.argv = {['unimask', *map(str, arguments)]!r}\n"
        "atexit.register(lambda: print('MODULES', *sys.modules))\n"
        "from unimask.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES ")[2].split())


def test_prediction_imports_no_other_work(tiny_model, image, tmp_path):
    modules = imported("predict", image, "--model", tiny_model, "--out", tmp_path / "out")
    assert {"torch", "unimask.modeling", "unimask.cli.predict"} <= modules
    assert not OTHERS & modules
    assert not {f"unimask.cli.{name}" for name in COMMANDS} - {"unimask.cli.predict"} & modules


@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")  # of PyTorch's exporter
def test_prediction_with_an_exported_file_imports_no_network(tiny_model, image, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from unimask.export import ExportSettings, export_onnx
    from unimask.inference import load

    file = tmp_path / "model.onnx"
    export_onnx(load(tiny_model), file, ExportSettings(size=(96, 128)))
    modules = imported("predict", image, "--model", file, "--out", tmp_path / "out")
    assert "onnxruntime" in modules
    assert not (OTHERS | WEIGHTS | {"onnx", "onnxscript"}) & modules


def test_help_and_unknown_commands_know_all_commands(command):
    code, printed, _ = command("--help")
    assert code == 0
    assert set(COMMANDS) <= set(re.findall(r"^\W*([a-z]+)  ", printed, re.MULTILINE))
    code, _, err = command("predit", "a.png")
    assert code == 2 and "predict" in err
