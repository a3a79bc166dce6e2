"""Load and overload of `unimask serve nuclei` on loopback.

    python -m benchmarks.serving > benchmarks/results/serving.txt

Rendered images of mixed sizes are sent by 8 clients. Every answer is compared with the one of
`Predictor.predict` in this process. Rounds alternate between the server and `Predictor.stream`
(`unimask predict` without writing files) on the same images and threads, so that other load on the
machine meets both. Then 200 clients send one image each at the same time.
"""

import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import torch
from PIL import Image

import unimask
from unimask.datasets.rendered_nuclei import render_nuclei
from unimask.inference.predictor import Predictor
from unimask.profiling.machine import describe_machine

SIZES = ((256, 256), (360, 360), (512, 640), (520, 696), (384, 512), (640, 640))
IMAGES_PER_SIZE = 6
BATCH_SIZES = (1, 8)
CLIENTS, OVERLOAD_CLIENTS = 8, 200
CLIENT_TIMEOUT = 60.0
HEALTH_INTERVAL = 0.05


@dataclass
class Sample:
    """An encoded image, and the run lengths that `predict` finds in it."""

    path: Path
    data: bytes
    expected: list[dict[str, object]]


@dataclass
class Reply:
    """Status, body and duration of a request."""

    status: int
    body: bytes
    seconds: float
    index: int


class Server:
    """A server process."""

    def __init__(self, max_batch: int) -> None:
        self.max_batch = max_batch
        self.replies: list[Reply] = []
        self.ratios: list[float] = []
        self.memory: list[float] = []
        command = [sys.executable, "-m", "unimask", "serve", "nuclei", "--port", "0"]
        options = ["--no-access-log", "--device", "cpu", "--max-batch", str(max_batch)]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        address = self.process.stdout.readline().split(": ")[0]
        self.port = int(address.rsplit(":", 1)[1])
        while self.get("/health/ready").status != 200:
            time.sleep(0.1)

    def get(self, path: str) -> Reply:
        """Send a GET request on a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CLIENT_TIMEOUT)
        start = time.perf_counter()
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return Reply(response.status, body, time.perf_counter() - start, 0)

    def megabytes(self) -> float:
        """Return the resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def stop(self) -> int:
        """Send SIGTERM; return the exit code."""
        self.process.terminate()
        return self.process.wait(60)


def main() -> None:
    """Run all measurements."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="Requests to each server.")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    print(f"load average at the start: {os.getloadavg()[0]:.1f}", flush=True)
    predictor = unimask.load("nuclei", device="cpu")
    servers: list[Server] = []
    with tempfile.TemporaryDirectory() as folder:
        samples = render_samples(Path(folder), predictor)
        try:
            servers += [Server(max_batch) for max_batch in BATCH_SIZES]
            measure_load(servers, predictor, samples, options.requests, options.rounds)
            measure_overload(servers[0], samples)
        finally:
            print(f"exit codes after SIGTERM: {[server.stop() for server in servers]}")


def render_samples(folder: Path, predictor: Predictor) -> list[Sample]:
    """Render the images, and predict them."""
    samples = []
    for seed in range(IMAGES_PER_SIZE * len(SIZES)):
        size = SIZES[seed % len(SIZES)]
        image = render_nuclei(seed=seed, size=size, count=size[0] * size[1] // 4500).image
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        path = folder / f"{seed}.png"
        path.write_bytes(stream.getvalue())
        result = predictor.predict(path, task="instance")
        expected = [s.rle.to_coco() for s in result.segments]
        samples.append(Sample(path, stream.getvalue(), expected))
    return samples


def measure_load(
    servers: list[Server], predictor: Predictor, samples: list[Sample], requests: int, rounds: int
) -> None:
    """Send all requests in rounds; print correctness, latencies, memory and throughput."""
    per_round = requests // rounds
    for server in servers:
        send_all(server, samples, range(per_round // 4))  # warm-up
    for number in range(rounds):
        indices = [(number * per_round + i) % len(samples) for i in range(per_round)]
        start = time.perf_counter()
        paths = [samples[i].path for i in indices]
        for _ in predictor.stream(paths, task="instance", retain_confidence=False):
            pass
        baseline = time.perf_counter() - start
        for server in servers:
            start = time.perf_counter()
            server.replies += send_all(server, samples, indices)
            server.ratios.append(baseline / (time.perf_counter() - start))
            server.memory.append(server.megabytes())
        print(f"round {number}: {[s.ratios[-1] for s in servers]}", file=sys.stderr, flush=True)
    for server in servers:
        report(server, samples)


def report(server: Server, samples: list[Sample]) -> None:
    """Print what was measured of a server."""
    replies, ratios = server.replies, server.ratios
    wrong = sum(not is_right(reply, samples) for reply in replies)
    batches = Counter(json.loads(r.body)["batch_size"] for r in replies if r.status == 200)
    cuts = quantiles([reply.seconds for reply in replies], n=100)
    print(f"--max-batch {server.max_batch}")
    print(f"  {len(replies)} requests by {CLIENTS} clients: {wrong} lost or wrong")
    print(f"  latency p50 {cuts[49]:.2f} s, p95 {cuts[94]:.2f} s")
    print(f"  throughput over Predictor.stream: median {median(ratios):.2f}, ", end="")
    print(f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds")
    print("  answers by batch size: " + ", ".join(f"{n}: {c}" for n, c in sorted(batches.items())))
    print("  resident memory after each round (MB): ", end="")
    print(" ".join(f"{m:.0f}" for m in server.memory), flush=True)


def send_all(server: Server, samples: list[Sample], indices: "list[int] | range") -> list[Reply]:
    """Send images from several clients, each of which keeps its connection."""
    local = threading.local()

    def send(index: int) -> Reply:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(
                "127.0.0.1", server.port, timeout=CLIENT_TIMEOUT
            )
        return post(local.connection, samples[index % len(samples)].data, index % len(samples))

    with ThreadPoolExecutor(CLIENTS) as clients:
        return list(clients.map(send, indices))


def post(connection: http.client.HTTPConnection, data: bytes, index: int) -> Reply:
    """Send one image."""
    start = time.perf_counter()
    headers = {"Content-Type": "image/png"}
    connection.request("POST", "/v1/predict?task=instance", data, headers)
    response = connection.getresponse()
    return Reply(response.status, response.read(), time.perf_counter() - start, index)


def is_right(reply: Reply, samples: list[Sample]) -> bool:
    """Return whether a reply has exactly the masks that `predict` finds."""
    if reply.status != 200:
        return False
    found = [segment["rle"] for segment in json.loads(reply.body)["segments"]]
    return found == samples[reply.index].expected


def measure_overload(server: Server, samples: list[Sample]) -> None:
    """Send one image from each of many clients at once, and observe the health route."""
    barrier = threading.Barrier(OVERLOAD_CLIENTS + 1)
    replies: list[Reply] = []
    health: list[float] = []
    finished = threading.Event()

    def send(index: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CLIENT_TIMEOUT)
        barrier.wait()
        try:
            replies.append(post(connection, samples[index].data, index))
        except OSError as error:
            replies.append(Reply(0, str(error).encode(), 0.0, index))
        connection.close()

    def observe() -> None:
        while not finished.is_set():
            health.append(server.get("/health/live").seconds)
            time.sleep(HEALTH_INTERVAL)

    threads = [
        threading.Thread(target=send, args=(i % len(samples),)) for i in range(OVERLOAD_CLIENTS)
    ]
    observer = threading.Thread(target=observe)
    for thread in [*threads, observer]:
        thread.start()
    barrier.wait()
    for thread in threads:
        thread.join()
    finished.set()
    observer.join()
    statuses = Counter(reply.status for reply in replies)
    wrong = sum(reply.status == 200 and not is_right(reply, samples) for reply in replies)
    after = send_all(server, samples, range(len(samples)))
    print(f"{OVERLOAD_CLIENTS} clients at once: statuses {dict(statuses)}, {wrong} wrong answers")
    print(f"slowest reply {max(reply.seconds for reply in replies):.1f} s")
    cuts = quantiles(health, n=100)
    print(f"/health/live meanwhile, {len(health)} requests: p50 {1000 * cuts[49]:.0f} ms, ", end="")
    print(f"p95 {1000 * cuts[94]:.0f} ms, longest {1000 * max(health):.0f} ms")
    print(f"afterwards: {sum(is_right(r, samples) for r in after)} of {len(after)} answers right")


if __name__ == "__main__":
    main()
