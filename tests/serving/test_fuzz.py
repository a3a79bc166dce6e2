"""Random requests: whatever arrives, the answer is an error in one line, never a failure."""

import json
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

KINDS = (
    "",
    "image/png",
    "application/json",
    "application/octet-stream",
    "multipart/form-data; boundary=b",
    "multipart/form-data",
    "text/plain",
    "application/x-www-form-urlencoded",
    "\x00; boundary",
)
PATHS = (
    "/v1/predict",
    "/v1/predict?format=overlay",
    "/",
    "/models/tiny",
    "/v2/models/tiny/infer",
    "/v2/models/tiny/versions/1/infer",
)
ALLOWED = {200, 400, 404, 405, 408, 413, 415, 422}
KEYS = tuple(
    "inputs parameters name shape datatype data outputs id url subtask threshold".split()  # noqa: SIM905
)
TEXT = st.text(string.printable, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS) | TEXT,
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


def check(response) -> None:
    assert response.status_code in ALLOWED, (response.status_code, response.text[:300])
    if response.status_code != 200:
        values = response.json()
        assert values["error"].isprintable() and values["request_id"]


@settings(max_examples=30)
@given(path=st.sampled_from(PATHS), values=JSON)
def test_random_json(client, path, values):
    content = json.dumps(values).encode()
    headers = {"content-type": "application/json"}
    check(client.post(path, content=content, headers=headers))


@settings(max_examples=30)
@given(
    name=st.sampled_from(("model", "task", "threshold", "format", "candidates")), value=st.text()
)
def test_random_parameters(client, name, value):
    check(client.post("/v1/predict", params={name: value}, content=b"no image"))


@settings(max_examples=30)
@given(path=st.text(max_size=40), method=st.sampled_from(("GET", "POST", "PUT", "HEAD", "OPTIONS")))
def test_random_paths(client, path, method):
    response = client.request(method, "/" + "".join(f"%{b:02x}" for b in path.encode()))
    assert response.status_code < 500


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Change, remove, repeat or cut some bytes."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        place = draw.randrange(len(changed) + 1)
        match draw.randrange(4):
            case 0:
                changed[place : place + draw.randint(1, 8)] = draw.randbytes(draw.randint(0, 8))
            case 1:
                changed[place:] = changed[place : place + draw.randint(0, 4000)]
            case 2:
                del changed[place:]
            case _:
                changed[place:place] = changed[: draw.randint(0, 64)]
    return bytes(changed)


def form(data: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    return head + data + b"\r\n--b--\r\n"


def send_mutated(client, seeds: list[bytes], count: int, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(count):
        body = mutate(draw.choice(seeds), draw)
        kind, path = draw.choice(KINDS), draw.choice(PATHS)
        check(client.post(path, content=body, headers={"content-type": kind}))
    service = client.app.state.service
    assert service.active == service.uploads.held == service.decoded.images == 0


@pytest.fixture(scope="module")
def seeds(png, image) -> list[bytes]:
    from serving_images import encode

    images = [
        encode(image[:64, :64], kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")
    ]
    infer = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["aGVsbG8="]}]}
    return [*images, form(images[0]), json.dumps(infer).encode(), b'{"inputs": "aGVsbG8="}']


@pytest.mark.filterwarnings("ignore")
def test_mutated_bodies(client, seeds):
    send_mutated(client, seeds, 100, 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_many_mutated_bodies(client, seeds):
    send_mutated(client, seeds, 10_000, 1)
