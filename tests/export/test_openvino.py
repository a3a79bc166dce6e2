"""OpenVINO files give the network's answers in every precision; failures leave no file."""

import resource
from contextlib import contextmanager

import conftest
import numpy as np
import pytest
import torch

import unimask
from unimask.errors import OutputError, SettingsError

openvino = pytest.importorskip("openvino")
pytest.importorskip("onnxscript")

from export.test_export import NETWORKS, SIZE, photograph, tiny_predictor  # noqa: E402

import unimask.export.export as exporting  # noqa: E402
from unimask.export import ExportSettings, export_onnx, export_openvino  # noqa: E402
from unimask.export.onnx_graph import to_onnx  # noqa: E402
from unimask.export.verification import Tolerance  # noqa: E402

pytestmark = [
    pytest.mark.extra,
    pytest.mark.filterwarnings("ignore"),  # of PyTorch's exporter
]

WRITERS = {".onnx": export_onnx, ".xml": export_openvino}


def with_biases(model):
    """Set random biases of the backbone, as after training.

    Without them a constant area has features of exactly 0, and layer norms amplify whatever
    rounding another runtime adds.
    """
    torch.manual_seed(0)
    for name, weight in model.network.backbone.named_parameters():
        if name.endswith("bias"):
            weight.copy_(0.1 * torch.randn_like(weight))
    return model


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_a_file_gives_the_networks_answers(config, tmp_path):
    model = with_biases(tiny_predictor(config))
    report = export_openvino(model, tmp_path / "model.xml", ExportSettings(size=SIZE))
    assert report.agreement.max_logit_error < 1e-4
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    size = sum(entry.stat().st_size for entry in tmp_path.iterdir())
    assert report.megabytes == size / 1e6
    loaded = unimask.load(tmp_path / "model.xml")
    rules = loaded.description.preprocessing
    mean, std = (torch.tensor(values)[:, None, None] for values in (rules.mean, rules.std))
    batch = torch.from_numpy(np.stack([photograph(SIZE, seed) for seed in range(2)]))
    batch = batch.permute(0, 3, 1, 2).float()
    for task in loaded.tasks:
        for images in (batch, batch[:1]):  # compiled for any number, and for one
            with torch.inference_mode():
                expected = model.network((images - mean) / std, task)
            actual = loaded.logits(images, task)
            for ours, theirs in zip(actual[:2], expected[:2], strict=True):
                assert (ours - theirs).abs().max() <= 1e-3 * theirs.abs().max()


def test_float16_halves_a_fixed_batch_of_bytes(tmp_path):
    model = tiny_predictor(conftest.TINY_ONEFORMER)
    settings = ExportSettings(size=SIZE, batch=2, input_dtype="uint8", task="instance")
    full = export_openvino(model, tmp_path / "full.xml", settings)
    half = export_openvino(
        model, tmp_path / "half.xml", exporting.replace(settings, precision="float16")
    )
    files = [(tmp_path / f"{name}.bin").stat().st_size for name in ("full", "half")]
    assert files[1] < 0.6 * files[0]
    assert full.agreement.max_logit_error < 1e-4 and half.agreement.max_logit_error > 0
    loaded = unimask.load(tmp_path / "half.xml")
    assert loaded.tasks == ("instance",) and loaded.dtype == torch.uint8
    assert [r.size for r in loaded.predict([photograph()] * 3, batch_size=3)] == [(90, 120)] * 3


def test_int8_is_calibrated_on_images(tmp_path, monkeypatch):
    pytest.importorskip("nncf")
    monkeypatch.setitem(exporting.TOLERANCES, "int8", Tolerance(0.5, 0.0))
    model = tiny_predictor(conftest.TINY_SWIN)
    images = [photograph(seed=seed) for seed in range(3)]
    settings = ExportSettings(size=SIZE, precision="int8")
    report = export_openvino(model, tmp_path / "model.xml", settings, images=images)
    assert report.agreement.images == 3 and report.agreement.max_logit_error > 1e-4
    graph = openvino.Core().read_model(str(tmp_path / "model.xml"))
    kinds = [node.get_type_name() for node in graph.get_ops()]
    assert kinds.count("FakeQuantize") > 10
    assert unimask.load(tmp_path / "model.xml").predict(images[0]).size == (90, 120)


def test_int8_without_images_is_refused_before_any_work(tmp_path):
    settings = ExportSettings(size=SIZE, precision="int8")
    with pytest.raises(SettingsError, match="int8 is calibrated on images"):
        export_openvino(tiny_predictor(), tmp_path / "model.xml", settings)
    with pytest.raises(SettingsError, match="precision 'int8': onnx is written in float32"):
        export_onnx(tiny_predictor(), tmp_path / "model.onnx", settings)


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_foreign_files_are_not_replaced_but_own_ones_are(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="was not written by unimask and is not replaced"):
        export_openvino(tiny_predictor(), tmp_path / "model.xml", ExportSettings(size=SIZE))
    assert (tmp_path / name).read_text() == "mine"
    (tmp_path / name).unlink()
    (tmp_path / "model.xml").write_text('<?xml version="1.0"?>\n<net name="unimask 0.1.0" ')
    (tmp_path / "model.bin").write_text("weights")
    exporting.OPENVINO.check_output(tmp_path / "model.xml", "float32")


@pytest.fixture(scope="module")
def graph():
    model = tiny_predictor()
    description = exporting.describe_graph(model, ExportSettings(size=SIZE))
    return to_onnx(exporting.capture_network(model, description, print), description, 18)


@pytest.fixture
def converted(graph, monkeypatch):
    """Skip capture and conversion of the same network."""

    def copied(*args):
        copy = type(graph)()
        copy.CopyFrom(graph)
        return copy

    monkeypatch.setattr(exporting, "capture_network", lambda *args: None)
    monkeypatch.setattr("unimask.export.onnx_graph.to_onnx", copied)


@contextmanager
def largest_file(size):
    """Make writing fail above a size, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("share", [0.1, 0.9])
@pytest.mark.parametrize("suffix", WRITERS)
def test_a_full_disk_leaves_no_file(tmp_path, converted, graph, suffix, share):
    path = tmp_path / f"model{suffix}"
    limit = int(share * graph.ByteSize())
    with largest_file(limit), pytest.raises(OutputError, match="cannot write"):
        WRITERS[suffix](tiny_predictor(), path, ExportSettings(size=SIZE))
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_before_the_openvino_file_leaves_no_file(
    tmp_path, converted, monkeypatch
):
    """OpenVINO reports a failed write by an error without a number."""
    save = openvino.save_model

    def save_to_full_disk(*args, **options):
        with largest_file(10_000):
            save(*args, **options)

    monkeypatch.setattr(openvino, "save_model", save_to_full_disk)
    with pytest.raises(OutputError, match=r"cannot write model\.xml .*free some space"):
        export_openvino(tiny_predictor(), tmp_path / "model.xml", ExportSettings(size=SIZE))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", ["write_graph", "open_network", "check_agreement", "os.replace"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_an_interruption_at_any_step_leaves_no_file(tmp_path, converted, monkeypatch, suffix, step):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    place, _, name = step.rpartition(".")
    monkeypatch.setattr(exporting.os if place else exporting, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        WRITERS[suffix](tiny_predictor(), tmp_path / f"model{suffix}", ExportSettings(size=SIZE))
    assert not list(tmp_path.iterdir())


def test_an_interruption_between_two_files_leaves_none(tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    files = [tmp_path / "new" / name for name in ("model.bin", "model.xml")]
    for file in files:
        file.write_text("content")
    move = exporting.os.replace

    def interrupted(source, target):
        if target.suffix == ".xml":
            raise KeyboardInterrupt
        move(source, target)

    monkeypatch.setattr(exporting.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exporting.move_files(files, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["new"]
