"""Requests drawn from the server's OpenAPI description by schemathesis, valid and invalid ones.

    PYTHONPATH=tests python -m schema_requests [--requests 12000] [--seed 0]

Starts `unimask serve` around a small random network. Each answer must arrive in time, be no
failure of the server (503 and 504 are allowed), and agree with the description in status, content
type and structure. At the end the memory must not have grown, and an image must be segmented as at
the start. Exit code 1 otherwise.
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import requests
import schemathesis
from conftest import TINY_SWIN, draw_discs, tiny_checkpoint
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks
from serving_images import encode

from unimask.checkpoints import write_huggingface

CHECKS = (
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)
SECONDS = 20.0
"""Time limit of an answer: more is a hang."""

GROWTH = 30.0
"""Largest growth of the resident memory in megabytes after the first tenth of the requests."""


def image_contents() -> st.SearchStrategy[bytes]:
    """Images of several kinds, whole, cut, or with a changed byte, and other bytes."""
    small = draw_discs(0)[0][:64, :64]
    whole = st.sampled_from([encode(small, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP")])
    cut = st.builds(lambda data, share: data[: int(share * len(data))], whole, st.floats(0, 1))
    changed = st.builds(
        lambda data, place, value: (
            data[: place % len(data)] + value + data[place % len(data) + 1 :]
        ),
        whole,
        st.integers(0, 10**6),
        st.binary(min_size=1, max_size=4),
    )
    return st.one_of(whole, cut, changed, st.binary(max_size=200))


def load_schema(address: str) -> schemathesis.BaseSchema:
    for kind in ("image/*", "application/octet-stream"):
        schemathesis.openapi.media_type(kind, image_contents())
    return schemathesis.openapi.from_url(f"{address}/openapi.json", wait_for_schema=SECONDS)


def send_all(schema, count: int, first_seed: int = 0, after=lambda: None) -> Counter[int]:
    """Send requests to all routes, most of them to those that take bodies; return the statuses.

    Raises:
        AssertionError: An answer is a failure or does not agree with the description.
        requests.Timeout: There is no answer in time.
    """
    operations = [result.ok() for result in schema.get_all_operations()]
    posts = sum(operation.method == "post" for operation in operations)
    statuses: Counter[int] = Counter()
    with requests.Session() as session:
        for operation in operations:
            if operation.method == "post":
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    share = max(1, count // posts // 2)
                    statuses += send_drawn(operation, mode, share, session, first_seed)
            else:
                mode = GenerationMode.POSITIVE
                statuses += send_drawn(operation, mode, min(count, 30), session, first_seed)
            after()
    return statuses


def send_drawn(operation, mode, count: int, session, first_seed: int) -> Counter[int]:
    """Send drawn requests to one route, two thirds of them for a model that exists."""
    statuses: Counter[int] = Counter()

    def send(case, model: str | None) -> None:
        if model and "model" in (case.path_parameters or {}):
            case.path_parameters["model"] = model
        if model and "model" in (case.query or {}):
            case.query["model"] = model
        response = case.call(session=session, timeout=SECONDS)
        statuses[response.status_code] += 1
        failed = response.status_code >= 500 and response.status_code not in (503, 504)
        assert not failed, (response.status_code, case.as_curl_command())
        case.validate_response(response, checks=list(CHECKS))

    options = settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    case = operation.as_strategy(generation_mode=mode)
    model = st.sampled_from(["tiny", "tiny", None])
    seed(first_seed)(options(given(case=case, model=model)(send)))()
    return statuses


class Server:
    """A process of `unimask serve`."""

    def __init__(self, model: Path) -> None:
        command = [sys.executable, "-m", "unimask", "serve", f"tiny={model}", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--no-access-log", "--device", "cpu"], stdout=subprocess.PIPE, text=True
        )
        self.address = self.process.stdout.readline().split(": ")[0]
        while requests.get(f"{self.address}/health/ready", timeout=SECONDS).status_code != 200:
            time.sleep(0.1)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.communicate()  # closes the pipe

    def megabytes(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    def segments(self, image: bytes) -> list:
        connection = http.client.HTTPConnection(self.address.removeprefix("http://"))
        connection.request("POST", "/v1/predict", image)
        found = json.loads(connection.getresponse().read())["segments"]
        connection.close()
        return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m schema_requests")
    parser.add_argument("--requests", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    image = encode(draw_discs(0)[0])
    with tempfile.TemporaryDirectory() as folder:
        write_huggingface(Path(folder) / "model", tiny_checkpoint(TINY_SWIN, seed=2))
        with Server(Path(folder) / "model") as server:
            before = server.segments(image)
            schema = load_schema(server.address)
            send_all(schema, options.requests // 10, options.seed + 1)  # warm-up
            memory = [server.megabytes()]
            start = time.monotonic()
            statuses = send_all(
                schema, options.requests, options.seed, lambda: memory.append(server.megabytes())
            )
            seconds = time.monotonic() - start
            is_same = server.segments(image) == before
            server.process.terminate()
            code = server.process.wait(60)
    print(f"schemathesis {schemathesis.__version__}, seed {options.seed}")
    print(f"{sum(statuses.values()):,} requests in {seconds:.0f} s, statuses {dict(statuses)}")
    print("resident memory (MB): " + " ".join(f"{value:.0f}" for value in memory))
    print(f"an image is segmented as before: {is_same}; exit code after SIGTERM: {code}")
    return int(not is_same or code != 0 or max(memory) - memory[0] > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
