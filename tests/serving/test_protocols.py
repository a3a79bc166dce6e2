"""The protocols of Hugging Face and of the Open Inference Protocol."""

import base64
import io
import json
import struct

import numpy as np
import pytest
from PIL import Image


def decode_mask(text: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(text)))) > 0


def check_huggingface(answer: list, result) -> None:
    assert [item["label"] for item in answer] == [s.label for s in result.segments]
    assert [item["score"] for item in answer] == [s.score for s in result.segments]
    for item, segment in zip(answer, result.segments, strict=True):
        assert np.array_equal(decode_mask(item["mask"]), segment.mask)


def test_huggingface_bytes(client, predictor, image, png):
    response = client.post("/", content=png, headers={"content-type": "image/png"})
    check_huggingface(response.json(), predictor.predict(image))


def test_huggingface_json(client, predictor, image, png):
    body = {
        "inputs": base64.b64encode(png).decode(),
        "parameters": {"subtask": "instance", "threshold": 0.3, "mask_threshold": 0.5},
    }
    answer = client.post("/models/second", json=body).json()
    check_huggingface(answer, predictor.predict(image, task="instance", threshold=0.3))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": 3},
        {"inputs": "*"},
        {"inputs": "", "parameters": []},
        {"inputs": "", "parameters": {"mask_threshold": 0.9}},
        {"inputs": "", "parameters": {"unknown": 1}},
        {"inputs": "", "parameters": {"subtask": "depth"}},
        {"inputs": "", "parameters": {"subtask": 4}},
        {"inputs": "", "parameters": {"threshold": "high"}},
    ],
)
def test_huggingface_errors(client, body):
    response = client.post("/", json=body)
    assert response.status_code == 422 and response.json()["error"]


def test_metadata(client):
    assert client.get("/v2").json()["name"] == "unimask"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    model = client.get("/v2/models/tiny/versions/1").json()
    assert model["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert client.get("/v2/models/tiny/ready").json()["ready"] is True
    assert client.get("/v2/models/absent").status_code == 404
    assert client.get("/v2/models/tiny/versions/2").status_code == 404


def infer_request(images: list[bytes], **changes) -> dict:
    data = [base64.b64encode(item).decode() for item in images]
    tensor = {"name": "image", "shape": [len(images)], "datatype": "BYTES", "data": data}
    return {"id": "a", "inputs": [tensor | changes], "parameters": {"task": "instance"}}


def test_infer(client, predictor, image, png):
    response = client.post("/v2/models/tiny/infer", json=infer_request([png, png, png]))
    answer = response.json()
    assert (answer["model_name"], answer["id"]) == ("tiny", "a")
    output = answer["outputs"][0]
    assert (output["name"], output["datatype"], output["shape"]) == ("result", "BYTES", [3])
    expected = [s.rle.to_coco() for s in predictor.predict(image, task="instance").segments]
    for text in output["data"]:
        assert [s["rle"] for s in json.loads(text)["segments"]] == expected


def test_binary_data(client, predictor, image, png):
    elements = 2 * (struct.pack("<I", len(png)) + png)
    request = infer_request([png, png], parameters={"binary_data_size": len(elements)})
    del request["inputs"][0]["data"]
    request["outputs"] = [{"name": "id_map", "parameters": {"binary_data": True}}]
    text = json.dumps(request).encode()
    response = client.post(
        "/v2/models/tiny/versions/1/infer",
        content=text + elements,
        headers={"inference-header-content-length": str(len(text))},
    )
    length = int(response.headers["inference-header-content-length"])
    described = json.loads(response.content[:length])["outputs"][0]
    binary = response.content[length:]
    assert described["parameters"]["binary_data_size"] == len(binary)
    size = int.from_bytes(binary[:4], "little")
    ids = np.array(Image.open(io.BytesIO(binary[4 : 4 + size])))
    assert np.array_equal(ids, np.array(predictor.predict(image, task="instance").id_image()))


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"datatype": "UINT8"}, 422),
        ({"name": "pixels"}, 422),
        ({"shape": [2]}, 422),
        ({"shape": []}, 422),
        ({"shape": [-1]}, 422),
        ({"shape": [10**6]}, 422),
        ({"data": ["*"]}, 422),
        ({"data": [[]]}, 422),
        ({"data": None}, 422),
        ({"data": None, "parameters": {"binary_data_size": 10**9}}, 422),
        ({"shape": "x"}, 422),
    ],
)
def test_infer_errors(client, png, changes, status):
    response = client.post("/v2/models/tiny/infer", json=infer_request([png], **changes))
    assert response.status_code == status and response.json()["error"]


@pytest.mark.parametrize(
    ("content", "length", "status"),
    [
        (b"{", None, 400),
        (b"[]", None, 422),
        (b"{}", "-1", 400),
        (b"{}", "9", 400),
        (b'{"id":' + b"[" * 100_000, None, 422),
        (b"\xff\xfe", None, 400),
    ],
)
def test_malformed_infer_requests(client, content, length, status):
    headers = {} if length is None else {"inference-header-content-length": length}
    response = client.post("/v2/models/tiny/infer", content=content, headers=headers)
    assert response.status_code == status


def test_unknown_output(client, png):
    request = infer_request([png]) | {"outputs": [{"name": "depth"}]}
    response = client.post("/v2/models/tiny/infer", json=request)
    assert response.status_code == 422 and "id_map" in response.json()["error"]
