"""Routes under /v1: answers equal those of `Predictor.predict`, and errors name the fix."""

import io

import numpy as np
import pytest
from conftest import TINY_DETR, tiny_checkpoint
from fastapi.testclient import TestClient
from PIL import Image
from pycocotools import mask as coco
from serving.conftest import wait_until_ready

import unimask
from unimask.checkpoints import write_huggingface
from unimask.serving.app import create_app
from unimask.serving.models import ServedModel
from unimask.serving.schemas import ModelList, PredictionResponse
from unimask.serving.settings import ServerSettings

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools

TASKS = ("panoptic", "instance", "semantic")


def check_equal(answer: dict, result) -> None:
    PredictionResponse.model_validate(answer, strict=False)
    assert answer["size"] == list(result.size)
    assert len(answer["segments"]) == len(result.segments) > 0
    for described, segment in zip(answer["segments"], result.segments, strict=True):
        assert (described["id"], described["label"]) == (segment.id, segment.label)
        assert described["score"] == segment.score
        assert described["box"] == list(segment.box) and described["area"] == segment.area
        assert np.array_equal(coco.decode(described["rle"]), segment.mask)


@pytest.mark.parametrize("task", TASKS)
def test_segments_equal_those_of_predict(client, predictor, image, png, task):
    response = client.post("/v1/predict", params={"task": task}, content=png)
    assert response.status_code == 200
    check_equal(response.json(), predictor.predict(image, task=task))


@pytest.mark.parametrize("task", TASKS)
def test_detrs_are_served_like_other_networks(tmp_path, image, png, task):
    write_huggingface(tmp_path, tiny_checkpoint(TINY_DETR, seed=4))
    predictor = unimask.load(tmp_path, device="cpu")
    with TestClient(create_app([ServedModel("detr", predictor)], ServerSettings())) as client:
        wait_until_ready(client)
        response = client.post("/v1/predict", params={"task": task}, content=png)
    assert response.status_code == 200
    check_equal(response.json(), predictor.predict(image, task=task))


def test_threshold_and_default_task(client, predictor, image, png):
    answer = client.post("/v1/predict?threshold=0.7", files={"file": ("x.png", png)}).json()
    assert answer["task"] == "panoptic" and answer["threshold"] == 0.7
    check_equal(answer, predictor.predict(image, threshold=0.7))


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5])
def test_candidates_filtered_by_score_equal_a_threshold(client, predictor, image, png, threshold):
    answer = client.post("/v1/predict?task=instance&candidates=true", content=png).json()
    assert answer["candidate_threshold"] == 0.05 and answer["threshold"] == 0.5
    expected = predictor.predict(image, task="instance", threshold=threshold).segments
    chosen = [s for s in answer["segments"] if s["score"] >= threshold]
    assert [s["rle"] for s in chosen] == [s.rle.to_coco() for s in expected]
    assert [s["selected"] for s in answer["segments"]] == [
        s["score"] >= 0.5 for s in answer["segments"]
    ]
    assert len(answer["segments"]) > len(expected) or threshold == 0.1


def test_images(client, predictor, image, png):
    result = predictor.predict(image)
    ids = client.post("/v1/predict?format=png", content=png)
    assert ids.headers["content-type"] == "image/png"
    assert np.array_equal(
        np.array(Image.open(io.BytesIO(ids.content))), np.array(result.id_image())
    )
    overlay = client.post("/v1/predict?format=overlay", content=png)
    assert np.array_equal(
        np.array(Image.open(io.BytesIO(overlay.content))), np.array(result.plot())
    )
    shapes = client.post("/v1/predict?format=geojson", content=png)
    assert shapes.headers["content-type"] == "application/geo+json"
    assert shapes.json() == result.to_geojson()


def test_colours_are_those_of_the_overlay(client, predictor, image, png):
    from unimask.visualization.overlay import DrawnSegment, segment_colours

    result = predictor.predict(image, task="instance", threshold=0.2)
    answer = client.post("/v1/predict?task=instance&threshold=0.2", content=png).json()
    shapes = [
        DrawnSegment(s.label, s.label_id, s.is_thing, s.score, s.box, *s.rle.runs)
        for s in result.segments
    ]
    order = sorted(shapes, key=lambda shape: (shape.is_object, -shape.area))
    expected = {
        (*shape.box, shape.score): "#" + bytes(colour).hex()
        for shape, colour in zip(order, segment_colours(order), strict=True)
    }
    for segment in answer["segments"]:
        assert segment["colour"] == expected[(*segment["box"], segment["score"])]


def test_orientation_is_applied(client, image):
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(stream, "JPEG", exif=exif)
    answer = client.post("/v1/predict", content=stream.getvalue()).json()
    assert answer["size"] == [image.shape[1], image.shape[0]]


def test_models(client):
    answer = client.get("/v1/models").json()
    ModelList.model_validate(answer)
    assert [model["name"] for model in answer["models"]] == ["tiny", "second"]
    assert answer["models"][0]["thresholds"] == {"panoptic": 0.4, "instance": 0.5, "semantic": None}
    assert answer["models"][0]["classes"][0]["label"] == "nucleus"
    assert "image/png" in answer["image_types"] and answer["allow_urls"] is False


def test_model_of_the_request(client, png):
    answer = client.post("/v1/predict?model=second", content=png).json()
    assert answer["model"] == "second"


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("model=missing", 404, "tiny, second"),
        ("task=depth", 422, "task"),
        ("threshold=2", 422, "threshold"),
        ("threshold=nan", 422, "threshold"),
        ("format=xml", 422, "format"),
    ],
)
def test_wrong_parameters(client, png, query, status, text):
    response = client.post(f"/v1/predict?{query}", content=png)
    assert response.status_code == status and text in response.json()["error"]
    assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("content", "kind", "status", "text"),
    [
        (b"", "image/png", 422, "empty"),
        (b"no image", "image/png", 422, "known kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/eps", 422, "known kind"),
        (b"{}", "application/json", 415, "--allow-urls"),
        (b"text", "text/plain", 415, "image"),
        (b"x", "multipart/form-data", 400, "boundary"),
        (b"x", "multipart/form-data; boundary=b", 400, "form"),
        (b"--b\r\n\r\n", "multipart/form-data; boundary=b", 400, "incomplete"),
        (
            b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            422,
            "field file",
        ),
    ],
)
def test_wrong_bodies(client, content, kind, status, text):
    response = client.post("/v1/predict", content=content, headers={"content-type": kind})
    assert response.status_code == status and text in response.json()["error"]


def test_truncated_image(client, png):
    response = client.post("/v1/predict", content=png[: len(png) // 2])
    assert response.status_code == 422 and "damaged" in response.json()["error"]


def test_names_of_files_do_not_matter(client, png):
    name = '../../etc/passwd"\r\nX-Evil: 1'
    response = client.post("/v1/predict", files={"file": (name, png, "image/png")})
    assert response.status_code == 200 and "x-evil" not in response.headers
    assert "passwd" not in response.text
