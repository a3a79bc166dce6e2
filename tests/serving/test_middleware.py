"""What holds for every request: token, ids, headers, log, metrics and pages."""

import json
import logging
import re

import pytest

OPEN = ("/docs", "/openapi.json", "/health/live", "/health/ready", "/v2/health/ready")


def test_token(start, png):
    client = start(token="secret-1")
    for path in OPEN:
        assert client.get(path).status_code == 200
    for method, path in (
        ("GET", "/v1/models"),
        ("GET", "/metrics"),
        ("GET", "/v2/models/tiny"),
        ("POST", "/"),
        ("POST", "/v1/predict"),
        ("GET", "/nowhere"),
    ):
        response = client.request(method, path)
        assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer secret-2", "Bearer ", "Basic secret-1", "secret-1", "Bearer secret-1x"):
        assert client.get("/v1/models", headers={"authorization": wrong}).status_code == 401
    right = {"authorization": "Bearer secret-1"}
    assert client.get("/v1/models", headers=right).status_code == 200
    assert client.post("/v1/predict", headers=right, content=png).status_code == 200


def test_request_ids(client):
    given = client.get("/health/live", headers={"x-request-id": "a-1.b_2"})
    assert given.headers["x-request-id"] == "a-1.b_2"
    for forged in ("a b", "x" * 65, "<script>", '"'):
        response = client.get("/health/live", headers={"x-request-id": forged})
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


def test_headers(client):
    for path in ("/health/live", "/docs", "/nowhere"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_cors(start):
    client = start(cors_origins=("https://example.com",))
    allowed = client.get("/health/live", headers={"origin": "https://example.com"})
    assert allowed.headers["access-control-allow-origin"] == "https://example.com"
    other = client.get("/health/live", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    preflight = {"origin": "https://example.com", "access-control-request-method": "POST"}
    assert client.options("/v1/predict", headers=preflight).status_code == 200


def test_access_log(start, png, caplog):
    client = start()
    with caplog.at_level(logging.INFO, "unimask.access"):
        client.post("/v1/predict?task=instance", content=png)
        client.get("/%0a%22injected%1b[31m")
    first, second = (json.loads(record.getMessage()) for record in caplog.records[-2:])
    assert (first["method"], first["path"], first["status"]) == ("POST", "/v1/predict", 200)
    assert first["model"] == "tiny" and first["received"] == len(png)
    assert second["status"] == 404
    assert all("\n" not in record.getMessage() for record in caplog.records)
    assert "\x1b" not in caplog.records[-1].getMessage()


def test_metrics(start, png):
    client = start()
    client.post("/v1/predict", content=png)
    client.post("/v1/predict", content=b"no image")
    text = client.get("/metrics").text
    assert 'unimask_requests_total{route="/v1/predict",status="200"} 1.0' in text
    assert 'unimask_requests_total{route="/v1/predict",status="422"} 1.0' in text
    assert 'unimask_images_total{model="tiny",task="panoptic"} 1.0' in text
    for stage in ("upload", "decode", "queue", "network", "postprocess", "encode"):
        assert f'unimask_stage_seconds_count{{stage="{stage}"}} 1.0' in text
    assert "unimask_queue_length 0.0" in text
    client.get("/secret/a")
    client.get("/secret/b")
    assert "secret" not in client.get("/metrics").text  # routes only: their number is bounded


def test_documentation_loads_nothing(client):
    response = client.get("/docs")
    assert "/v1/predict" in response.text and "http://" not in response.text
    assert "https://" not in response.text and "<script" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


def test_schema(client):
    schema = client.get("/openapi.json").json()
    paths = schema["paths"]
    assert {"/v1/predict", "/", "/v2/models/{model}/infer", "/health/live"} <= set(paths)
    assert "multipart/form-data" in paths["/v1/predict"]["post"]["requestBody"]["content"]


@pytest.mark.parametrize(("method", "status"), [("DELETE", 405), ("PUT", 405)])
def test_other_methods(client, method, status):
    response = client.request(method, "/v1/predict")
    assert response.status_code == status and response.json()["error"]


def test_policy_lists_inline_parts():
    from unimask.serving.pages import content_policy

    policy = content_policy("<style>a{}</style><script>\nx=1\n</script><SCRIPT>y=2</SCRIPT>")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["script-src"].count("sha256-") == 2 and rules["style-src"].count("sha256-") == 1
    assert "unsafe" not in policy
