"""Exported models behind the server."""

import importlib.util

import pytest
from fastapi.testclient import TestClient

import unimask
from unimask.export import ExportSettings, export_onnx, export_openvino
from unimask.serving.app import create_app
from unimask.serving.models import ServedModel, split_names
from unimask.serving.settings import ServerSettings

pytestmark = [
    pytest.mark.extra,
    pytest.mark.filterwarnings("ignore"),  # of PyTorch's exporter
    pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs onnxruntime"),
]


@pytest.mark.parametrize(
    ("suffix", "runtime", "export"),
    [(".onnx", "onnxruntime", export_onnx), (".xml", "openvino", export_openvino)],
)
def test_answers_equal_those_of_predict(suffix, runtime, export, predictor, image, png, tmp_path):
    if importlib.util.find_spec(runtime) is None:
        pytest.skip(f"needs {runtime}")
    path = tmp_path / f"model{suffix}"
    export(predictor, path, ExportSettings(size=(96, 128)))
    ((name, source),) = split_names([str(path)]).items()
    exported = unimask.load(source)
    with TestClient(create_app([ServedModel(name, exported)], ServerSettings())) as client:
        while client.get("/health/ready").status_code != 200:
            pass
        (model,) = client.get("/v1/models").json()["models"]
        assert (model["name"], model["runtime"]) == ("model", runtime)
        answer = client.post("/v1/predict?task=instance", content=png).json()
    expected = exported.predict(image, task="instance").segments
    assert [s["rle"] for s in answer["segments"]] == [s.rle.to_coco() for s in expected]
    assert [s["score"] for s in answer["segments"]] == [s.score for s in expected] != []
