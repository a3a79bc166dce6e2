"""Files in OpenVINO: predictors like any other, and one line for each file that is none."""

import subprocess
import sys

import conftest
import pytest

import unimask
from unimask.errors import CheckpointError, MissingExtraError, SettingsError
from unimask.inference.load import load

openvino = pytest.importorskip("openvino")
pytest.importorskip("onnxscript")

from export.test_export import SIZE, photograph, tiny_predictor  # noqa: E402

from unimask.export import ExportSettings, export_openvino  # noqa: E402
from unimask.runtimes.openvino_runtime import choose_device  # noqa: E402

pytestmark = [
    pytest.mark.extra,
    pytest.mark.filterwarnings("ignore"),  # of PyTorch's exporter
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "tiny.xml"
    export_openvino(tiny_predictor(conftest.TINY_ONEFORMER), path, ExportSettings(size=SIZE))
    return path


def changed(exported, folder, old, new):
    """Return a copy of a file after a change of its text."""
    text = exported.read_text(encoding="utf-8")
    assert old in text
    path = folder / "changed.xml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    (folder / "changed.bin").write_bytes(exported.with_suffix(".bin").read_bytes())
    return path


def test_a_file_predicts_like_its_model(exported):
    loaded = unimask.load(exported)
    model = tiny_predictor(conftest.TINY_ONEFORMER)
    assert loaded.labels == model.labels and loaded.is_thing == model.is_thing
    assert loaded.tasks == model.tasks and loaded.channels == 3
    image = photograph((96, 128))  # resized to the graph's size by either rule
    for task in model.tasks:
        ours, theirs = model.predict(image, task), loaded.predict(image, task)
        assert (ours.segmentation == theirs.segmentation).mean() >= 0.999
        assert [s.label for s in ours.segments] == [s.label for s in theirs.segments]
    results = loaded.predict([image, photograph((40, 90)), image], batch_size=2)
    assert [result.size for result in results] == [(96, 128), (40, 90), (96, 128)]


def test_a_file_is_evaluated_compared_and_measured(exported, command, discs):
    for arguments in [
        ("evaluate", discs, "--model", exported, "--task", "panoptic", "--split", "val"),
        ("compare", exported, exported, "--data", discs, "--split", "val"),
        ("benchmark", "--model", exported, "--runs", 5),
    ]:
        code, _, err = command(*arguments)
        assert code == 0, err


def test_other_files_are_named_in_one_line(exported, tmp_path):
    with pytest.raises(CheckpointError, match=r"missing\.xml does not exist"):
        load(tmp_path / "missing.xml")
    alone = tmp_path / "alone.xml"
    alone.write_bytes(exported.read_bytes())
    with pytest.raises(CheckpointError, match=r"alone.bin does not exist.*needs alone.bin"):
        load(alone)
    (tmp_path / "alone.bin").write_bytes(exported.with_suffix(".bin").read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="cannot be read by OpenVINO"):
        load(alone)
    alone.write_bytes(exported.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="cannot be read by OpenVINO"):
        load(alone)
    for old, new, message in [
        ("unimask>", "other>", "was not exported by unimask"),
        ('type="Convolution" version="opset1"', 'type="Convolution" version="opset99"', "opset"),
        ('<format_version value="1"', '<format_version value="2"', "update unimask"),
        ('<takes_task value="true"', '<takes_task value="false"', "other inputs or outputs"),
        ('<tasks value="[', '<tasks value="[1,', "damaged metadata"),
        ("<generator", "<author", "was not exported by unimask"),
    ]:
        file = changed(exported, tmp_path, old, new)
        with pytest.raises(CheckpointError, match=message):
            load(file)


def test_options_that_a_file_cannot_follow_are_refused(exported):
    with pytest.raises(SettingsError, match="has its own dtype"):
        load(exported, dtype="bfloat16")
    with pytest.raises(SettingsError, match="auto, cpu, gpu or npu"):
        load(exported, device="cuda")


def test_devices_have_their_names_in_openvino():
    assert choose_device("auto", ["CPU", "GPU"]) == choose_device("cpu", ["CPU"]) == "CPU"
    assert choose_device("gpu:1", ["CPU", "GPU.0", "GPU.1"]) == "GPU.1"
    with pytest.raises(SettingsError, match="OpenVINO finds only CPU"):
        choose_device("gpu", ["CPU"])
    with pytest.raises(SettingsError, match="auto, cpu, gpu or npu"):
        choose_device("gpu:x", ["CPU"])


def test_a_missing_runtime_names_the_extra(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"unimask\[openvino\]"):
        load(exported)


def test_a_prediction_imports_no_exporter(exported):
    code = (
        "import sys, numpy, unimask; "
        f"unimask.load({str(exported)!r}).predict(numpy.zeros((96, 128, 3), numpy.uint8)); "
        "print([m for m in ('onnx', 'onnxruntime', 'nncf', 'torch.onnx', 'torch._dynamo', "
        "'unimask.export') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert output.stdout.strip() == "[]", output.stdout + output.stderr
