"""Load and overload of `unimask serve nuclei` on loopback.

    python -m benchmarks.serving > benchmarks/results/serving.txt
    python -m benchmarks.serving --parts memory > benchmarks/results/serving_memory.txt

Rendered images of mixed sizes are sent by 8 clients. Every answer is compared with the one of
`Predictor.predict` in this process.

- load: rounds alternate between servers with the default and with `--max-batch 8`, and
  `Predictor.stream` (`unimask predict` without writing files) on the same images and threads, so
  that other load on the machine meets all of them.
- memory: one server; its resident memory is read four times a second.
- overload: 200 clients send one image each at the same time, several times, while another process
  requests `/health/live`.
"""

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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import torch
from PIL import Image

import unimask
from benchmarks.serving_clients import Reply, connect, get, post
from unimask.datasets.rendered_nuclei import render_nuclei
from unimask.inference.predictor import Predictor
from unimask.profiling.machine import describe_machine

SIZES = ((256, 256), (360, 360), (512, 640), (520, 696), (384, 512), (640, 640))
IMAGES_PER_SIZE = 6
SETTINGS: dict[str, list[str]] = {"default": [], "--max-batch 8": ["--max-batch", "8"]}
CLIENTS, OVERLOAD_CLIENTS = 8, 200
OVERLOADED = "overloaded"
MEMORY_INTERVAL = 0.25


@dataclass
class Sample:
    """An encoded image, and the run lengths that `predict` finds in it."""

    path: Path
    data: bytes
    expected: list[dict[str, object]]


@dataclass
class Measurement:
    """What was measured of a server, per round."""

    replies: list[Reply] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    memory: list[tuple[float, float, float]] = field(default_factory=list)


class Server:
    """A server process with some options."""

    def __init__(self, name: str, options: Sequence[str]) -> None:
        self.name, self.measured = name, Measurement()
        command = [sys.executable, "-m", "unimask", "serve", "nuclei", "--port", "0"]
        fixed = ["--no-access-log", "--device", "cpu"]
        # On a shared machine eight images may take long, and would be refused.
        fixed += [] if name == OVERLOADED else ["--timeout-s", "200"]
        self.process = subprocess.Popen(
            [*command, *fixed, *options], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        address = self.process.stdout.readline().split(": ")[0]
        self.port = int(address.rsplit(":", 1)[1])
        while get(self.port, "/health/ready").status != 200:
            time.sleep(0.1)

    def megabytes(self) -> float:
        """Return the resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def send_all(self, samples: list[Sample], indices: "list[int] | range") -> list[Reply]:
        """Send images from several clients, each of which keeps its connection."""
        local = threading.local()

        def send(index: int) -> Reply:
            if not hasattr(local, "connection"):
                local.connection = connect(self.port)
            return post(local.connection, samples[index % len(samples)].data, index % len(samples))

        with ThreadPoolExecutor(CLIENTS) as clients:
            return list(clients.map(send, indices))

    def send_observed(self, samples: list[Sample], indices: list[int]) -> None:
        """Send images, and record the lowest, median and highest memory meanwhile."""
        finished = threading.Event()
        memory: list[float] = []

        def observe() -> None:
            while not finished.wait(MEMORY_INTERVAL):
                memory.append(self.megabytes())

        observer = threading.Thread(target=observe)
        observer.start()
        self.measured.replies += self.send_all(samples, indices)
        finished.set()
        observer.join()
        self.measured.memory.append((min(memory), median(memory), max(memory)))

    def stop(self) -> int:
        """Send SIGTERM; return the exit code."""
        self.process.terminate()
        return self.process.wait(60)


def main() -> None:
    """Run the measurements."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="Requests to each server.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--bursts", type=int, default=5, help="Repetitions of the overload.")
    parser.add_argument(
        "--parts", nargs="+", choices=("load", "memory", "overload"), default=["load", "overload"]
    )
    options = parser.parse_args()
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    print(f"load average at the start: {os.getloadavg()[0]:.1f}", flush=True)
    predictor = unimask.load("nuclei", device="cpu")
    servers: list[Server] = []
    with tempfile.TemporaryDirectory() as folder:
        samples = render_samples(Path(folder), predictor)
        chosen = dict(SETTINGS) if "load" in options.parts else {}
        if "memory" in options.parts:
            chosen["default"] = []
        if "overload" in options.parts:
            chosen[OVERLOADED] = []
        try:
            servers += [Server(name, given) for name, given in chosen.items()]
            if "load" in options.parts:
                loaded = servers[: len(SETTINGS)]
                measure_load(loaded, predictor, samples, options.requests, options.rounds)
            if "memory" in options.parts:
                measure_memory(servers[0], samples, options.requests, options.rounds)
            if "overload" in options.parts:
                measure_overload(servers[-1], samples, options.bursts)
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


def round_indices(samples: list[Sample], requests: int, rounds: int) -> list[list[int]]:
    """Return the images of each round."""
    count = requests // rounds
    return [[(r * count + i) % len(samples) for i in range(count)] for r in range(rounds)]


def measure_load(
    servers: list[Server], predictor: Predictor, samples: list[Sample], requests: int, rounds: int
) -> None:
    """Send all requests in rounds that alternate with the baseline; print a report per server."""
    for server in servers:
        server.send_all(samples, range(len(samples)))  # warm-up
    for number, indices in enumerate(round_indices(samples, requests, rounds)):
        start = time.perf_counter()
        paths = [samples[i].path for i in indices]
        for _ in predictor.stream(paths, task="instance", retain_confidence=False):
            pass
        baseline = time.perf_counter() - start
        for server in servers:
            start = time.perf_counter()
            server.send_observed(samples, indices)
            server.measured.ratios.append(baseline / (time.perf_counter() - start))
        ratios = [f"{server.measured.ratios[-1]:.2f}" for server in servers]
        print(f"round {number}: {' '.join(ratios)}", file=sys.stderr, flush=True)
    for server in servers:
        report(server, samples)


def measure_memory(server: Server, samples: list[Sample], requests: int, rounds: int) -> None:
    """Send all requests to one server, and print its memory."""
    server.send_all(samples, range(len(samples)))  # warm-up
    for number, indices in enumerate(round_indices(samples, requests, rounds)):
        server.send_observed(samples, indices)
        print(f"round {number}: {server.measured.memory[-1]}", file=sys.stderr, flush=True)
    report(server, samples)


def report(server: Server, samples: list[Sample]) -> None:
    """Print what was measured of a server."""
    measured = server.measured
    replies, ratios = measured.replies, measured.ratios
    wrong = sum(not is_right(reply, samples) for reply in replies)
    batches = Counter(json.loads(r.body)["batch_size"] for r in replies if r.status == 200)
    cuts = quantiles([reply.seconds for reply in replies], n=100)
    print(f"server with {server.name}")
    statuses = Counter(reply.status for reply in replies)
    print(f"  {len(replies)} requests by {CLIENTS} clients: statuses {dict(statuses)}, ", end="")
    print(f"{wrong} lost or wrong")
    print(f"  latency p50 {cuts[49]:.2f} s, p95 {cuts[94]:.2f} s")
    if ratios:
        print(f"  throughput over Predictor.stream: median {median(ratios):.2f}, ", end="")
        print(f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds")
    print("  answers by batch size: " + ", ".join(f"{n}: {c}" for n, c in sorted(batches.items())))
    for index, name in enumerate(("lowest", "median", "highest")):
        values = [memory[index] for memory in measured.memory]
        print(f"  {name} resident memory of each round (MB): ", end="")
        print(" ".join(f"{m:.0f}" for m in values), flush=True)


def is_right(reply: Reply, samples: list[Sample]) -> bool:
    """Return whether a reply has exactly the masks that `predict` finds."""
    if reply.status != 200:
        return False
    found = [segment["rle"] for segment in json.loads(reply.body)["segments"]]
    return found == samples[reply.index].expected


def measure_overload(server: Server, samples: list[Sample], bursts: int) -> None:
    """Send one image from each of many clients at once, and observe the health route."""
    command = [sys.executable, "-m", "benchmarks.serving_clients"]
    folder = str(samples[0].path.parent)
    replies: list[Reply] = []
    health: list[float] = []
    for number in range(bursts):
        with subprocess.Popen(
            [*command, "observe", str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as observer:
            time.sleep(1)
            sent = [*command, "burst", str(server.port), str(OVERLOAD_CLIENTS), folder]
            output = subprocess.run(sent, stdout=subprocess.PIPE, check=True).stdout
            seconds = json.loads(observer.communicate()[0])
        print(f"burst {number}: longest {1000 * max(seconds):.0f} ms", file=sys.stderr, flush=True)
        health += seconds
        replies += [Reply(**values) for values in json.loads(output)]
    after = server.send_all(samples, range(len(samples)))
    statuses = Counter(reply.status for reply in replies)
    wrong = sum(reply.status == 200 and not is_right(reply, samples) for reply in replies)
    print(f"{bursts} times {OVERLOAD_CLIENTS} clients at once: ", end="")
    print(f"statuses {dict(statuses)}, {wrong} wrong answers")
    print(f"slowest reply {max(reply.seconds for reply in replies):.1f} s")
    cuts = quantiles(health, n=1000)
    print(
        f"/health/live meanwhile, {len(health)} requests: p50 {1000 * cuts[499]:.0f} ms, ", end=""
    )
    print(f"p99.9 {1000 * cuts[998]:.0f} ms, longest {1000 * max(health):.0f} ms")
    print(f"afterwards: {sum(is_right(r, samples) for r in after)} of {len(after)} answers right")


if __name__ == "__main__":
    main()
