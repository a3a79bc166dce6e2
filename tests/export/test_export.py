"""Exported files give the network's answers in ONNX Runtime, read from their metadata alone."""

from dataclasses import replace

import conftest
import numpy as np
import pytest
import torch
from contracts.test_backbones import TINY
from hypothesis import given, settings
from hypothesis import strategies as st

import unimask
from unimask.config import PerPixelConfig
from unimask.errors import OutputError, SettingsError
from unimask.inference.predictor import Predictor
from unimask.modeling.build import build_segmenter
from unimask.processing.preprocess import fitting_size

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from export.plain_runtime import PlainModel  # noqa: E402

import unimask.export.export as exporting  # noqa: E402
from unimask.export import ExportSettings, export_onnx  # noqa: E402
from unimask.export.formats import ONNX  # noqa: E402

pytestmark = [
    pytest.mark.extra,
    pytest.mark.filterwarnings("ignore"),  # of PyTorch's exporter
]

NETWORKS = {
    "mask2former": conftest.TINY_RESNET,
    "query-selection": conftest.TINY_PROPOSALS,
    "swin": conftest.TINY_SWIN,
    "oneformer": conftest.TINY_ONEFORMER,
    "maskformer": conftest.TINY_MASKFORMER,
    "map-encoder": conftest.TINY_ENCODER,
    "detr": conftest.TINY_DETR,
    "fapn": conftest.TINY_FAPN,
    "per-pixel": conftest.TINY_PER_PIXEL,
    "per-pixel-plus": conftest.TINY_PER_PIXEL_PLUS,
    **{
        name: replace(conftest.TINY_RESNET, backbone=TINY[name])
        for name in ("convnext", "dinat", "efficientnet-lite")
    },
}
SIZE = (96, 128)


def tiny_predictor(config=conftest.TINY_RESNET, **rules) -> Predictor:
    per_pixel = isinstance(config.transformer_decoder, PerPixelConfig)
    checkpoint = conftest.tiny_checkpoint(conftest.TINY_RESNET if per_pixel else config, **rules)
    network = build_segmenter(config).eval().requires_grad_(False)
    if not per_pixel:
        network.load_state_dict(checkpoint.state)
    return Predictor(network, replace(checkpoint.description, config=config), "tiny")


def photograph(size=(90, 120), seed=0):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (*(side // 10 + 1 for side in size), 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((10, 10, 1), np.uint8))[: size[0], : size[1]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    export_onnx(tiny_predictor(), path, ExportSettings(size=SIZE))
    return path


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_a_file_gives_the_networks_answers_without_unimask(config, tmp_path):
    model = tiny_predictor(config)
    path = tmp_path / "model.onnx"
    report = export_onnx(model, path, ExportSettings(size=SIZE))
    assert report.agreement.max_logit_error < 1e-4
    plain = PlainModel(path)
    graph = onnx.load(path)
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 18)]
    assert not graph.functions
    operators = {node.op_type for node in graph.graph.node}
    assert not operators & {"NonZero", "Unique", "Loop", "If", "Scan"}  # shapes depend on values
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
    rules = plain.metadata["preprocessing"]
    images = [photograph(size, seed) for seed, size in enumerate([(90, 120), (70, 50), (33, 200)])]
    prepared = [plain.preprocess(image) for image in images]
    batch = np.stack([pixels for pixels, _ in prepared])
    mean, std = (np.float32(rules[key])[:, None, None] for key in ("mean", "std"))
    normalised = torch.from_numpy((batch - mean) / std)  # padding is exactly zero
    for task in plain.metadata["tasks"]:
        classes, masks = plain.run(batch, task)
        with torch.inference_mode():
            expected = model.network(normalised, task)
        for actual, truth in zip((classes, masks), expected[:2], strict=True):
            error = np.abs(actual - truth.numpy()) / truth.abs().max().item()
            # Rounding may move a cell across the border of an attention mask, which changes a
            # query, and others a little.
            assert np.median(error) <= 1e-4
            assert error.max() <= 2e-2
        loaded = unimask.load(path)
        for index, (image, (_, input_size)) in enumerate(zip(images, prepared, strict=True)):
            alone, _ = plain.run(batch[index : index + 1], task)
            np.testing.assert_allclose(alone[0], classes[index], atol=1e-3)
            ours = unimask.postprocess(
                expected.class_logits[index],
                expected.mask_logits[index],
                task=task,
                labels=plain.metadata["names"],
                is_thing=plain.metadata["is_thing"],
                padded_size=SIZE,
                input_size=tuple(input_size),
                original_size=image.shape[:2],
                threshold=0.5 if task == "instance" else None,
                **plain.metadata["postprocessing"],
            )
            theirs = loaded.predict(image, task)
            assert (ours.segmentation == theirs.segmentation).mean() >= 0.99
            assert theirs.labels.names == tuple(plain.metadata["names"])


def test_a_fixed_batch_of_bytes_at_opset_17_with_one_task(tmp_path):
    path = tmp_path / "model.onnx"
    model = tiny_predictor(conftest.TINY_ONEFORMER)
    settings = ExportSettings(size=SIZE, batch=2, input_dtype="uint8", opset=17, task="instance")
    report = export_onnx(model, path, settings, images=[photograph()])
    assert report.agreement.images == 3
    plain = PlainModel(path)
    assert plain.metadata["tasks"] == ["instance"] and not plain.metadata["takes_task"]
    assert onnx.load(path).opset_import[0].version == 17
    loaded = unimask.load(path)
    assert loaded.tasks == ("instance",) and loaded.dtype == torch.uint8
    images = [photograph(seed=seed) for seed in range(3)]
    together = loaded.predict(images, batch_size=3)
    for image, result in zip(images, together, strict=True):
        classes, _ = plain.run(np.stack([plain.preprocess(image)[0]] * 2))
        assert np.isfinite(classes).all()
        assert (loaded.predict(image).segmentation == result.segmentation).all()


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data"])
def test_foreign_files_are_replaced_only_on_request(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="was not written by unimask and is not replaced"):
        export_onnx(tiny_predictor(), tmp_path / "model.onnx", ExportSettings(size=SIZE))
    assert (tmp_path / name).read_text() == "mine"
    ONNX.check_output(tmp_path / "model.onnx", "float32", overwrite=True)


def test_an_own_file_is_replaced(exported, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(exported.read_bytes())
    (tmp_path / "model.onnx.data").write_text("weights")
    ONNX.check_output(path, "float32")


def test_networks_for_training_are_exported_and_stay_trainable(tmp_path):
    """Built and just trained networks have parameters that require grad."""
    model = tiny_predictor(conftest.TINY_SWIN)
    model.network.requires_grad_(True)
    report = export_onnx(model, tmp_path / "model.onnx", ExportSettings(size=SIZE))
    assert report.agreement.max_logit_error < 1e-4
    assert all(parameter.requires_grad for parameter in model.network.parameters())


def test_other_answers_leave_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "with_rules", lambda model, description: tiny_predictor(seed=1))
    with pytest.raises(SettingsError, match="differs from the network and was discarded"):
        export_onnx(tiny_predictor(), tmp_path / "model.onnx", ExportSettings(size=SIZE))
    assert not list(tmp_path.iterdir())


def test_an_interruption_leaves_no_file(tmp_path, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "compare_predictors", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_onnx(tiny_predictor(), tmp_path / "model.onnx", ExportSettings(size=SIZE))
    assert not list(tmp_path.iterdir())


def test_large_weights_are_stored_beside_the_graph(tmp_path, monkeypatch):
    monkeypatch.setattr("unimask.export.onnx_graph.MAX_BYTES", 1000)
    report = export_onnx(tiny_predictor(), tmp_path / "model.onnx", ExportSettings(size=SIZE))
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["model.onnx", "model.onnx.data"]
    files = [tmp_path / name for name in names]
    assert report.megabytes == sum(file.stat().st_size for file in files) / 1e6
    assert unimask.load(tmp_path / "model.onnx").predict(photograph()).size == (90, 120)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"opset": 20}, "opset 20: choose 18 or 17"),
        ({"size": (0, 64)}, "height and width go from 1"),
        ({"batch": 0}, "batch 0"),
        ({"input_dtype": "int8"}, "float32 or uint8"),
    ],
)
def test_settings_are_checked_before_any_work(changes, message, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "describe_graph", None)
    with pytest.raises(SettingsError, match=message):
        export_onnx(tiny_predictor(), tmp_path / "model.onnx", ExportSettings(**changes))


def test_an_exported_file_is_not_exported_again(exported, tmp_path):
    with pytest.raises(SettingsError, match="exported file already"):
        export_onnx(unimask.load(exported), tmp_path / "again.onnx")


sides = st.integers(1, 3000)


@given(sides, sides, sides, sides)
@settings(deadline=None)
def test_fitting_sizes_fit_and_never_grow(height, width, high, wide):
    fitted = fitting_size((height, width), (high, wide))
    assert fitted[0] <= min(height, high) and fitted[1] <= min(width, wide) and min(fitted) >= 1
    if height <= high and width <= wide:
        assert fitted == (height, width)


def test_onnx_runtime_fuses_gelu(tmp_path):
    import onnxruntime

    path, optimised = tmp_path / "swin.onnx", tmp_path / "optimised.onnx"
    export_onnx(tiny_predictor(conftest.TINY_SWIN), path, ExportSettings(size=SIZE))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(optimised).graph.node]
    assert any("Gelu" in name for name in operators)
    assert "Erf" not in operators
