"""The server behind a socket: slow and broken clients, signals, and what a killed server leaves."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

import pytest
import uvicorn
from huggingface_hub import InferenceClient
from PIL import Image
from serving_images import encode

from unimask.datasets.rendered_nuclei import render_nuclei
from unimask.serving import receiving
from unimask.serving.app import create_app
from unimask.serving.models import ServedModel
from unimask.serving.server import DrainingServer, open_socket, run_server
from unimask.serving.settings import ServerSettings


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def wait_until_ready(port: int) -> None:
    for _ in range(600):
        try:
            if get(port, "/health/ready")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server does not become ready")


@pytest.fixture(scope="module")
def port(predictor):
    """A server in a thread, with short time limits."""
    patch = pytest.MonkeyPatch()
    patch.setattr(receiving, "HEADER_SECONDS", 0.5)
    patch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    running = []
    patch.setattr(DrainingServer, "startup", remember(running))
    settings = ServerSettings(timeout_s=2, max_upload_mb=1, access_log=False, shutdown_s=2)
    app = create_app([ServedModel("tiny", predictor)], settings)
    with open_socket("127.0.0.1", 0) as listener, warnings.catch_warnings():
        number = listener.getsockname()[1]
        thread = threading.Thread(target=run_server, args=(app, listener, settings))
        thread.start()
        wait_until_ready(number)
        yield number
        running[0].should_exit = True
        thread.join(20)
        assert not thread.is_alive()
    patch.undo()


def remember(running: list):
    startup = uvicorn.Server.startup

    async def wrapped(self, sockets=None):
        running.append(self)
        await startup(self, sockets)

    return wrapped


def read_until_closed(connection: socket.socket, seconds: float) -> bytes:
    connection.settimeout(seconds)
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def test_incomplete_header(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        start = time.monotonic()
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: a\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert read_until_closed(connection, 10) == b""
        assert time.monotonic() - start < 5


def test_slow_body(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        start = time.monotonic()
        connection.settimeout(0.2)
        received = b""
        while not received and time.monotonic() - start < 10:
            try:
                connection.sendall(b"x")
                received = connection.recv(65536)
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408")


def test_abandoned_upload(port):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
    assert get(port, "/health/live")[0] == 200


def test_large_upload_gets_its_answer(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/v1/predict", bytes(3 * 2**20))
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"y" * 100_000,  # no end
    ],
)
def test_malformed_requests(port, head):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head)
        connection.settimeout(10)
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")
    assert get(port, "/health/live")[0] == 200


def test_client_of_hugging_face(port, predictor, image, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(image).save(path)
    client = InferenceClient(model=f"http://127.0.0.1:{port}/")
    found = client.image_segmentation(str(path))
    assert [item.label for item in found] == [s.label for s in predictor.predict(image).segments]


def test_client_of_the_documentation(port, predictor, png, image):
    from documents import python_blocks

    namespace = {"__name__": "client"}
    exec(python_blocks("docs/serving.md")[0], namespace)
    client = namespace["Client"](f"http://127.0.0.1:{port}")
    assert client.models()[0]["name"] == "tiny"
    found = client.predict(png, task="instance")["segments"]
    expected = predictor.predict(image, task="instance").segments
    assert [s["score"] for s in found] == [s.score for s in expected]
    with pytest.raises(RuntimeError, match="known kind"):
        client.predict(b"no image")


def start_process(model, *options) -> tuple[subprocess.Popen, int]:
    command = [sys.executable, "-m", "unimask", "serve", f"tiny={model}", "--port", "0", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), process.communicate()
    port = int(line.split(": ")[0].rsplit(":", 1)[1])
    wait_until_ready(port)
    return process, port


@pytest.mark.slow
def test_sigterm_answers_accepted_requests(tiny_model, png):
    process, port = start_process(tiny_model, "--max-wait-ms", "1500")
    replies = []

    def post() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/v1/predict", png)
        replies.append(connection.getresponse().status)
        connection.close()

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    _out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert set(replies) <= {200, 503} and len(replies) == 4
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_killed_server_leaves_nothing(tiny_model):
    process, port = start_process(tiny_model)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        with contextlib.suppress(ConnectionResetError):
            assert read_until_closed(connection, 10) == b""
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    open_socket("127.0.0.1", port).close()


@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
def test_the_end_does_not_wait_for_a_busy_network(signals):
    """Unanswered requests get 503 when the time is over, and a second signal ends it at once."""
    shutdown_s = "0" if signals == 1 else "30"
    process, port = start_process("nuclei", "--shutdown-s", shutdown_s)
    image = encode(render_nuclei(seed=0, size=(640, 640), count=80).image)
    replies = []

    def post() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/v1/predict", image)
        response = connection.getresponse()
        replies.append((response.status, json.loads(response.read()).get("error")))
        connection.close()

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    _out, err = process.communicate(timeout=30)
    for thread in threads:
        thread.join()
    assert process.returncode == 0 and "Traceback" not in err and "terminate" not in err, err
    refused = [reply for reply in replies if reply[0] != 200]
    assert refused and {status for status, _ in refused} == {503}
