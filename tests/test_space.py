"""The page for a Hugging Face Space: it segments in Chromium, without outside requests."""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path
from socket import create_server

import pytest
from PIL import Image

from unimask.datasets.rendered_nuclei import render_nuclei

ROOT = Path(__file__).parents[1]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.extra,
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install the package chromium"),
]

RECORDER = """
import os, socket
connect = socket.socket.connect
def recorded(self, address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "localhost", "::1"):
        with open(os.environ["OUTSIDE"], "a") as file:
            print(address[0], file=file)
    return connect(self, address)
socket.socket.connect = recorded
"""
"""Start of every Python process of the server: it records connections to other machines."""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """Return the interpreter of an environment with Gradio, which needs an older Pillow."""
    folder = tmp_path_factory.mktemp("space") / "env"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    inner = folder / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "outer.pth").write_text("\n".join([str(ROOT / "src"), *site.getsitepackages()]))
    install = ["-m", "pip", "install", "-q", "-r", ROOT / "space" / "requirements.txt"]
    subprocess.run([inner, *install], check=True)
    (packages / "sitecustomize.py").write_text(RECORDER)
    return inner


@pytest.fixture
def server(python, tmp_path):
    """Start the app as a Space does; yield its address and the file of outside connections."""
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outside = tmp_path / "outside.txt"
    settings = {"GRADIO_SERVER_PORT": str(port), "OUTSIDE": str(outside)}
    with subprocess.Popen(
        [python, "app.py"], cwd=ROOT / "space", env=os.environ | settings
    ) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}", outside
        finally:
            process.terminate()


def wait_for(address: str, process: subprocess.Popen, seconds: float = 120) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, "the app has ended"
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.5)
    pytest.fail("the app does not answer")


def test_the_page_segments_an_image_without_outside_requests(server, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    address, outside = server
    Image.fromarray(render_nuclei(size=(256, 256), count=12).image).save(tmp_path / "cells.png")
    requests: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.set_default_timeout(120_000)
        page.goto(address)
        page.set_input_files("input[type=file]", tmp_path / "cells.png")
        page.get_by_text("panoptic", exact=True).click()
        page.get_by_role("button", name="Submit").click()
        page.get_by_text("nucleus", exact=True).locator("visible=true").first.wait_for()
        page.screenshot(path=tmp_path / "space.png", full_page=True)
        browser.close()
    foreign = [url for url in requests if not url.startswith((address, "data:", "blob:"))]
    assert not foreign
    assert not outside.exists(), outside.read_text()
