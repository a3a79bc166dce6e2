"""A server around a small random network."""

from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_SWIN, draw_discs, tiny_checkpoint
from fastapi.testclient import TestClient
from serving_images import encode

import unimask
from unimask.checkpoints import write_huggingface
from unimask.serving.app import create_app
from unimask.serving.models import ServedModel
from unimask.serving.settings import ServerSettings


def wait_until_ready(client: TestClient) -> None:
    while client.get("/health/ready").status_code != 200:
        pass


@pytest.fixture(scope="session")
def served_model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "model"
    write_huggingface(folder, tiny_checkpoint(TINY_SWIN, seed=2))  # finds several objects
    return folder


@pytest.fixture(scope="session")
def predictor(served_model):
    return unimask.load(served_model, device="cpu")


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    return draw_discs(0)[0]


@pytest.fixture(scope="session")
def png(image) -> bytes:
    return encode(image)


@pytest.fixture
def start(predictor):
    """Start servers with settings; they end with the test."""
    clients = []

    def run(**settings) -> TestClient:
        models = [ServedModel("tiny", predictor), ServedModel("second", predictor)]
        client = TestClient(create_app(models, ServerSettings(**settings)))
        client.__enter__()
        clients.append(client)
        wait_until_ready(client)
        return client

    yield run
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="session")
def client(predictor):
    models = [ServedModel("tiny", predictor), ServedModel("second", predictor)]
    with TestClient(create_app(models, ServerSettings(access_log=False))) as running:
        wait_until_ready(running)
        yield running
