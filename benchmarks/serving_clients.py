"""Clients of the server that run in their own process, so that they wait for no one else.

`benchmarks.serving` starts them: one that observes `/health/live`, and many that send an image
each at the same time. Both print JSON.
"""

import http.client
import json
import select
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

CLIENT_TIMEOUT = 300.0
HEALTH_INTERVAL = 0.02


@dataclass
class Reply:
    """Status, body and duration of a request for an image; status 0 for a lost connection."""

    status: int
    body: str
    seconds: float
    index: int


def connect(port: int) -> http.client.HTTPConnection:
    """Return a connection to the server, not yet open."""
    return http.client.HTTPConnection("127.0.0.1", port, timeout=CLIENT_TIMEOUT)


def get(port: int, path: str) -> Reply:
    """Send a GET request on a new connection."""
    connection = connect(port)
    start = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return Reply(response.status, body, time.perf_counter() - start, 0)


def post(connection: http.client.HTTPConnection, data: bytes, index: int) -> Reply:
    """Send one image."""
    start = time.perf_counter()
    headers = {"Content-Type": "image/png"}
    try:
        connection.request("POST", "/v1/predict?task=instance", data, headers)
        response = connection.getresponse()
        return Reply(response.status, response.read().decode(), time.perf_counter() - start, index)
    except OSError as error:
        return Reply(0, str(error), time.perf_counter() - start, index)


def observe(port: int) -> None:
    """Request `/health/live` until the standard input ends; print the seconds of each request."""
    seconds = []
    while not select.select([sys.stdin], [], [], HEALTH_INTERVAL)[0]:
        seconds.append(get(port, "/health/live").seconds)
    print(json.dumps(seconds))


def burst(port: int, count: int, folder: str) -> None:
    """Send one image from each of many clients at once; print the replies."""
    paths = sorted(Path(folder).glob("*.png"), key=lambda path: int(path.stem))
    contents = [path.read_bytes() for path in paths]
    barrier = threading.Barrier(count)
    replies: list[Reply] = []

    def send(index: int) -> None:
        connection = connect(port)
        barrier.wait()
        replies.append(post(connection, contents[index], index))
        connection.close()

    threads = [threading.Thread(target=send, args=(i % len(contents),)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([asdict(reply) for reply in replies]))


if __name__ == "__main__":
    if sys.argv[1] == "observe":
        observe(int(sys.argv[2]))
    else:
        burst(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
