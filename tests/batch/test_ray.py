"""`unimask batch --ray` on two nodes, each a set of processes: actors and a node are killed."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from batch_runs import read_parts
from conftest import draw_discs
from PIL import Image
from ray_clusters import free_port, only_cluster

pytestmark = [
    pytest.mark.extra,
    pytest.mark.filterwarnings("ignore"),  # of Ray
    pytest.mark.skipif(find_spec("ray") is None, reason="no ray"),
]

ENVIRONMENT = {
    **os.environ,
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join(sys.path),
}
NUM_IMAGES, ROWS_PER_PART = 90, 3


@pytest.fixture(scope="module")
def many_images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for seed in range(NUM_IMAGES):
        Image.fromarray(draw_discs(seed, (48, 64), 3)[0]).save(folder / f"{seed:03d}.png")
    (folder / "010.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def arguments(source, out, model) -> list[str]:
    options = f"--task instance --threshold 0.1 --device cpu --rows-per-part {ROWS_PER_PART}"
    command = [sys.executable, "-m", "unimask", "batch", source, out, "--model", model]
    return [*map(str, command), *options.split()]


@pytest.fixture(scope="module")
def expected(many_images, model, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("expected") / "out"
    subprocess.run(arguments(many_images, out, model), check=True, env=ENVIRONMENT)
    return read_parts(out)


class Nodes:
    """A head node without CPUs for actors, and two nodes with two each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.client_port = free_port()
        os.environ.update(RAY_USAGE_STATS_ENABLED="0", PYTHONPATH=ENVIRONMENT["PYTHONPATH"])
        options = {
            "num_cpus": 0,
            "include_dashboard": False,
            "ray_client_server_port": self.client_port,
        }
        self.cluster = Cluster(initialize_head=True, head_node_args=options)
        self.workers = [self.cluster.add_node(num_cpus=2) for _ in range(2)]

    def actors(self) -> list[int]:
        """Return the process ids of actors."""
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with contextlib.suppress(OSError):
                    name = (process / "cmdline").read_bytes()
                    if name.startswith(b"ray::MapWorker"):
                        found.append(int(process.name))
        return found


@pytest.fixture
def nodes():
    handler = signal.getsignal(signal.SIGTERM)  # Ray sets its own
    with only_cluster():
        started = Nodes()
        yield started
        started.cluster.shutdown()
    signal.signal(signal.SIGTERM, handler)


def wait_for_parts(out: Path, count: int, process: subprocess.Popen) -> None:
    while len(list(out.glob("part-*"))) < count:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)


def test_killed_actors_and_nodes_lose_nothing(nodes, many_images, model, expected, tmp_path):
    out = tmp_path / "out"
    ray_options = ["--ray", nodes.cluster.address, "--ray-cpus", "1"]
    process = subprocess.Popen(
        arguments(many_images, out, model) + ray_options,
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for_parts(out, 3, process)
    os.kill(nodes.actors()[0], signal.SIGKILL)
    wait_for_parts(out, 10, process)
    assert len(list(out.glob("part-*"))) < len(expected)
    nodes.cluster.remove_node(nodes.workers[0], allow_graceful=False)
    printed, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    assert f"{NUM_IMAGES} images in" in printed and "1 images could not be read" in printed
    assert read_parts(out) == expected


def test_ray_continues_a_run_without_ray(many_images, model, expected, tmp_path):
    out = tmp_path / "out"
    subprocess.run(
        [*arguments(many_images, out, model), "--shard", "1/2"], check=True, env=ENVIRONMENT
    )
    times = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    command = [*arguments(many_images, out, model), "--ray", "local", "--ray-cpus", "1"]
    with only_cluster():
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert read_parts(out) == expected
    assert all(path.stat().st_mtime_ns == modified for path, modified in times.items())


def test_a_process_outside_the_cluster_uses_ray_client(
    nodes, many_images, model, expected, tmp_path
):
    out = tmp_path / "out"
    address = f"ray://127.0.0.1:{nodes.client_port}"
    ray_options = ["--shard", "1/6", "--ray", address, "--ray-cpus", "1"]
    done = subprocess.run(
        arguments(many_images, out, model) + ray_options,
        env=ENVIRONMENT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = read_parts(out)
    assert len(written) == 5 and written.items() <= expected.items()


def test_errors_of_actors_are_one_line(many_images, model, tmp_path):
    out, lost = tmp_path / "out", tmp_path / "model"
    shutil.copytree(model, lost)
    command = [*arguments(many_images, out, lost), "--shard", "1/9"]
    subprocess.run(command, check=True, env=ENVIRONMENT)
    shutil.rmtree(lost)
    lost.mkdir()
    command = [*arguments(many_images, out, lost), "--ray", "local", "--ray-cpus", "1"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("unimask: error")]
    assert done.returncode == 2 and len(errors) == 1 and str(lost) in errors[0], done.stderr
    command[command.index("local")] = "127.0.0.1:9"
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2 and "no Ray cluster answers at 127.0.0.1:9" in done.stderr
