"""The steps of docker/Dockerfile in an empty virtual environment, as no image can be built here."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

import pytest
from docker_steps import REPOSITORY, stages

SECONDS = 60
pytestmark = [pytest.mark.slow, pytest.mark.network]


class Container:
    """A folder that stands for the container's file system, with a virtual environment.

    Paths of the Dockerfile lie in the folder. PyTorch, gigabytes from its own index, is that of the
    environment of the tests; creating users is recorded only.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.variables = root, root, {}
        self.settings: dict[str, str] = {}
        subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True)
        self.programs = root / "programs"
        self.programs.mkdir()
        self.users = root / "users.txt"
        useradd = self.programs / "useradd"
        useradd.write_text(f'#!/bin/sh\necho "$@" >> {self.users}\n')
        useradd.chmod(0o755)

    def environment(self) -> dict[str, str]:
        path = f"{self.programs}:{self.root / 'venv' / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        for_pip = {
            k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "REQUESTS_"))
        }
        return {
            **for_pip,
            "PATH": path,
            "HOME": str(self.root),
            "OMP_NUM_THREADS": "1",
        } | self.settings

    def inside(self, text: str) -> str:
        """Return text with the container's folders as folders below the root."""
        return re.sub(r"(?<![\w.~/])/(wheels|source)\b", rf"{self.root}/\1", text)

    def run(self, command: str) -> None:
        if "download.pytorch.org" in command:
            self.link_torch(re.search(r"torch==([\d.]+)", command)[1])
            return
        subprocess.run(
            ["/bin/sh", "-ec", self.inside(command)],
            check=True, cwd=self.folder, env=self.environment(),
        )  # fmt: skip

    def link_torch(self, version: str) -> None:
        """Link the installed PyTorch; its own requirements are installed by pip as usual."""
        import torch

        assert torch.__version__.startswith(version)
        packages = Path(sysconfig.get_paths()["purelib"])
        target = next((self.root / "venv" / "lib").glob("python*/site-packages"))
        for source in [*packages.glob("torch-*.dist-info"), *map(packages.joinpath, TORCH)]:
            (target / source.name).symlink_to(source)

    def copy(self, arguments: list[str]) -> None:
        if arguments[0].startswith("--from="):
            return  # the stages share a folder
        *sources, destination = arguments
        target = self.folder / self.inside(destination)
        target.mkdir(parents=True, exist_ok=True)
        for source in map(REPOSITORY.joinpath, sources):
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy(source, target)

    def follow(self, name: str, rest: str) -> None:
        """Follow an instruction of the Dockerfile."""
        match name:
            case "WORKDIR":
                self.folder = Path(self.inside(rest))
                self.folder.mkdir(parents=True)
            case "COPY":
                self.copy(rest.split())
            case "RUN":
                self.run(rest)
            case "ENV" | "ARG":
                key, _, value = rest.partition("=")
                self.settings[key] = value
            case _:
                self.variables[name] = rest


TORCH = ("torch", "torchgen", "functorch")


@pytest.fixture(scope="module")
def container(tmp_path_factory):
    try:
        urllib.request.urlopen("https://pypi.org/simple/pip/", timeout=SECONDS).close()
    except OSError:
        pytest.skip("needs the network")
    container = Container(tmp_path_factory.mktemp("container"))
    for stage in stages():
        container.folder = container.root
        for name, rest in stage:
            container.follow(name, rest)
    return container


def test_the_steps_build_a_server_that_answers(container):
    given = [json.loads(container.variables[name]) for name in ("ENTRYPOINT", "CMD")]
    assert container.variables["USER"] in container.users.read_text()
    command = [*given[0], *given[1], "--port", "0"]  # 8000 may be in use on this machine
    program = str(container.root / "venv" / "bin" / command[0])
    process = subprocess.Popen(
        [program, *command[1:]],
        cwd=container.root, env=container.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert line.startswith("http://0.0.0.0:"), process.communicate()
        port = line.split(": ")[0].rsplit(":", 1)[1]
        check = json.loads(container.variables["HEALTHCHECK"].partition("CMD ")[2])
        assert wait_until_healthy(container, [part.replace("8000", port) for part in check])
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/predict", example_image())
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            assert json.load(response)["segments"]
        process.send_signal(getattr(signal, container.variables["STOPSIGNAL"]))
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0 and "Traceback" not in err
    finally:
        process.kill()
        process.wait()


def wait_until_healthy(container: Container, check: list[str]) -> bool:
    """Run the health check until it succeeds."""
    for _ in range(SECONDS):
        if subprocess.run(check, env=container.environment(), capture_output=True).returncode == 0:
            return True
        time.sleep(1)
    return False


def example_image() -> bytes:
    from serving_images import encode

    from unimask.datasets.rendered_nuclei import render_nuclei

    return encode(render_nuclei(seed=0, size=(128, 128), count=4).image)
