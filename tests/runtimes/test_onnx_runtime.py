"""Files in ONNX Runtime: predictors like any other, and one line for each file that is none."""

import subprocess
import sys

import conftest
import pytest
import torch

import unimask
from unimask.errors import CheckpointError, MissingExtraError, SettingsError
from unimask.inference.load import load, read_source
from unimask.inference.tiles import ArraySource, TileModel, TileOptions, segment_tiles

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from export.test_export import SIZE, photograph, tiny_predictor  # noqa: E402

from unimask.export import ExportSettings, export_onnx  # noqa: E402
from unimask.runtimes.onnx_runtime import choose_providers  # noqa: E402

pytestmark = [
    pytest.mark.extra,
    pytest.mark.filterwarnings("ignore"),  # of PyTorch's exporter
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    export_onnx(tiny_predictor(conftest.TINY_ONEFORMER), path, ExportSettings(size=SIZE))
    return path


def changed(exported, folder, change):
    """Return a copy of a file after a change of its model."""
    model = onnx.load(exported)
    change(model)
    onnx.save(model, folder / "changed.onnx")
    return folder / "changed.onnx"


def set_entry(model, key, value):
    entry = next(entry for entry in model.metadata_props if entry.key == key)
    entry.value = value


def test_a_file_predicts_like_its_model(exported):
    loaded = unimask.load(exported)
    model = tiny_predictor(conftest.TINY_ONEFORMER)
    assert loaded.labels == model.labels and loaded.is_thing == model.is_thing
    assert loaded.tasks == model.tasks and loaded.channels == 3
    assert "float32 on cpu" in repr(loaded)
    image = photograph((96, 128))  # resized to the graph's size by either rule
    for task in model.tasks:
        ours, theirs = model.predict(image, task), loaded.predict(image, task)
        assert (ours.segmentation == theirs.segmentation).mean() >= 0.999
        assert [s.label for s in ours.segments] == [s.label for s in theirs.segments]
    results = loaded.predict([image, photograph((40, 90)), image], batch_size=2)
    assert [result.size for result in results] == [(96, 128), (40, 90), (96, 128)]


def test_a_file_is_evaluated_compared_and_measured(exported, command, discs, tmp_path):
    code, printed, err = command(
        "evaluate", discs, "--model", exported, "--task", "panoptic", "--split", "val"
    )
    assert code == 0, err
    assert "PQ" in printed
    code, printed, err = command("compare", exported, exported, "--data", discs, "--split", "val")
    assert code == 0, err
    code, printed, err = command("benchmark", "--model", exported, "--runs", 5)
    assert code == 0, err
    assert "96x128" in printed and "backbone" not in printed


def test_other_files_are_named_in_one_line(exported, tmp_path):
    missing = tmp_path / "missing.onnx"
    with pytest.raises(CheckpointError, match="does not exist"):
        load(missing)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(exported.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="cannot be read by ONNX Runtime"):
        load(damaged)
    with pytest.raises(CheckpointError, match="was not exported by unimask"):
        load(changed(exported, tmp_path, lambda model: model.metadata_props.pop(0)))
    for key, value, message in [
        ("names", '["a"]', "damaged metadata"),
        ("preprocessing", "{}}", "damaged metadata"),
        ("tasks", '["detection"]', "damaged metadata"),
        ("format_version", "2", "update unimask"),
        ("takes_task", "false", "other inputs or outputs"),
    ]:
        file = changed(exported, tmp_path, lambda m, k=key, v=value: set_entry(m, k, v))
        with pytest.raises(CheckpointError, match=message):
            load(file)
    future = changed(exported, tmp_path, lambda m: setattr(m.opset_import[0], "version", 99))
    with pytest.raises(CheckpointError, match="opset"):
        load(future)


def test_options_that_a_file_cannot_follow_are_refused(exported, tmp_path):
    with pytest.raises(SettingsError, match="has its own dtype"):
        load(exported, dtype="bfloat16")
    with pytest.raises(SettingsError, match="only networks of PyTorch are compiled"):
        load(exported, compile=True)
    with pytest.raises(SettingsError, match="auto, cpu or cuda"):
        load(exported, device="tpu")
    with pytest.raises(SettingsError, match="is an exported file"):
        load(exported).save(tmp_path)
    with pytest.raises(SettingsError, match="without weights that can be read back"):
        read_source(exported)  # as training and exports do
    with pytest.raises(SettingsError, match="image features"):
        unimask.select(tmp_path, exported, 1)


def test_providers_follow_the_device():
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert choose_providers("auto", both[1:]) == both[1:]
    assert choose_providers("cuda:1", both) == [(both[0], {"device_id": 1}), both[1]]
    assert choose_providers("cpu", both) == both[1:]
    with pytest.raises(SettingsError, match="onnxruntime-gpu"):
        choose_providers("cuda", both[1:])


def test_a_missing_runtime_names_the_extra(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"unimask\[export\]"):
        load(exported)


def test_a_prediction_imports_no_exporter(exported):
    code = (
        "import sys, numpy, unimask; "
        f"unimask.load({str(exported)!r}).predict(numpy.zeros((96, 128, 3), numpy.uint8)); "
        "print([m for m in ('onnx', 'onnxscript', 'torch.onnx', 'torch._dynamo', "
        "'unimask.export') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert output.stdout.strip() == "[]", output.stdout + output.stderr


def test_tiles_have_the_size_of_the_graph(exported):
    loaded, image = unimask.load(exported), photograph((130, 200))
    tiled = loaded.predict(image, "semantic", max_pixels=10_000)  # "auto"
    model = tiny_predictor(conftest.TINY_ONEFORMER)
    source = ArraySource(image)
    options = TileOptions("auto")
    tiles = TileModel(
        "tiny",
        "semantic",
        model.description.labels,
        loaded.description.preprocessing,
        model.description.postprocessing,
        model.preprocess,
        lambda pixel_values: model.logits(pixel_values, "semantic"),
    )
    with torch.inference_mode():
        expected = segment_tiles(tiles, source, options, None, 4)
    assert (tiled.segmentation == expected.segmentation).mean() >= 0.999
    with pytest.raises(SettingsError, match=r"inputs of 96 x 128 pixels only: pass tile='auto'"):
        loaded.predict(image, tile=128)
