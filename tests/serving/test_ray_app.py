"""Ray Serve: replicas of the server on a local instance of Ray."""

import importlib
import json
import os
import signal
import threading
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from docker_steps import DOCKER
from pydantic import ValidationError
from ray_clusters import free_port, only_cluster

from unimask.errors import SettingsError
from unimask.serving.ray_app import RayArguments, build
from unimask.serving.settings import TOKEN_VARIABLE

NAME = f"unimask-test-{os.getpid()}"
SECONDS = 120


def test_wrong_arguments():
    with pytest.raises(ValidationError, match="replicas"):
        RayArguments(model="nuclei", replicas=2)
    with pytest.raises(SettingsError, match="--queue"):
        RayArguments(model="nuclei", queue=0).settings()


needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs ray")


def test_the_manifest_has_the_arguments_of_the_application():
    manifest = yaml.safe_load((DOCKER / "rayservice.yaml").read_text())
    application = yaml.safe_load(manifest["spec"]["serveConfigV2"])["applications"][0]
    module, _, name = application["import_path"].partition(":")
    assert getattr(importlib.import_module(module), name) is build
    arguments = RayArguments(**application["args"])
    groups = manifest["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    container = groups[0]["template"]["spec"]["containers"][0]
    assert float(container["resources"]["limits"]["cpu"]) >= arguments.cpus
    assert container["env"][0]["name"] == TOKEN_VARIABLE


@needs_ray
@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")
def test_the_manifest_is_valid_for_serve():
    from ray.serve.schema import ServeDeploySchema

    manifest = yaml.safe_load((DOCKER / "rayservice.yaml").read_text())
    ServeDeploySchema.model_validate(yaml.safe_load(manifest["spec"]["serveConfigV2"]))


@needs_ray
@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")
def test_replicas_are_within_limits():
    with pytest.raises(SettingsError, match="max_replicas"):
        build(RayArguments(model="nuclei", min_replicas=3))
    with pytest.raises(SettingsError, match="nuclei"):
        build(RayArguments(model="nuclei,nuclei"))


def replicas() -> list[int]:
    """Return the processes of this test's replicas."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"ray::ServeReplica:" + NAME.encode()):
            found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def address(served_model):
    """Two replicas behind Serve's proxy."""
    with only_cluster():
        yield start_replicas(served_model)
        stop_replicas()


def start_replicas(served_model: Path) -> str:
    import ray
    from ray import serve

    port = free_port()
    ray.init(
        address="local",
        num_cpus=3,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=10**8,
        runtime_env={"env_vars": {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    application = build(
        RayArguments(model=f"tiny={served_model}", min_replicas=2, max_replicas=2, cpus=0.5)
    )
    serve.run(application, name=NAME, route_prefix="/")
    return f"http://127.0.0.1:{port}"


def stop_replicas() -> None:
    import ray
    from ray import serve

    serve.shutdown()
    ray.shutdown()
    deadline = time.monotonic() + SECONDS
    while replicas() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not replicas()


def read(address: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(address, data, timeout=SECONDS) as response:
        return response.read()


def predict_all(address: str, png: bytes, count: int) -> list[dict]:
    answers = []

    def send() -> None:
        answers.append(json.loads(read(f"{address}/v1/predict?task=instance", png)))

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def served_images(address: str) -> set[float]:
    """Return the numbers of images that the replicas have segmented; requests go to any of them."""
    numbers = set()
    for _ in range(30):
        lines = read(f"{address}/metrics").decode().splitlines()
        found = [line for line in lines if line.startswith("unimask_images_total{")]
        numbers.add(sum(float(line.split()[-1]) for line in found))
    return numbers


def both_served(numbers: set[float], total: int) -> bool:
    """Return whether the numbers are those of two replicas that both have segmented images."""
    if len(numbers) == 1:
        return numbers == {total / 2}
    return 0 not in numbers and sum(numbers) == total


@needs_ray
@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")
def test_replicas_answer_like_predict_and_are_replaced(address, predictor, png, image):
    expected = predictor.predict(image, task="instance").segments
    masks = [segment.rle.to_coco() for segment in expected]
    answers = predict_all(address, png, 24)
    assert masks and len(answers) == 24
    assert all([s["rle"] for s in answer["segments"]] == masks for answer in answers)

    before = replicas()
    assert len(before) == 2
    deadline = time.monotonic() + SECONDS
    while not both_served(served_images(address), len(answers)):
        assert time.monotonic() < deadline  # Serve balances requests, but no single burst
        answers += predict_all(address, png, 8)

    os.kill(before[0], signal.SIGKILL)
    deadline = time.monotonic() + SECONDS
    while not (len(replicas()) == 2 and before[0] not in replicas()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    answers = predict_all(address, png, 8)
    assert all([s["rle"] for s in answer["segments"]] == masks for answer in answers)


@needs_ray
@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")
def test_errors_pass_through_the_proxy(address):
    with pytest.raises(urllib.error.HTTPError) as caught:
        read(f"{address}/v1/predict", b"no image")
    error = caught.value
    assert error.code == 422 and "known kind" in json.loads(error.read())["error"]
    assert error.headers["x-request-id"]
