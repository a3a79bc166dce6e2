"""Limits: bytes, pixels, queue and time are checked before memory is taken."""

import struct
import threading
import time
import zlib

import numpy as np
import pytest
from conftest import draw_discs
from serving_images import encode

from unimask.serving.failures import RequestError
from unimask.serving.uploads import open_upload


def png_bomb(width: int, height: int) -> bytes:
    """Build a small PNG that announces many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        tail = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + tail

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_large_bodies(start, png):
    client = start(max_upload_mb=0.5)
    response = client.post("/v1/predict", content=bytes(2**20))
    assert response.status_code == 413 and "0.5 MB" in response.json()["error"]
    response = client.post("/v1/predict", content=(bytes(2**16) for _ in range(16)))
    assert response.status_code == 413
    assert client.app.state.service.uploads.held == 0
    assert client.post("/v1/predict", content=png).status_code == 200


@pytest.mark.parametrize("size", [(30_000, 30_000), (65_000, 65_000), (2**31 - 1, 2)])
def test_bombs(client, size):
    response = client.post("/v1/predict", content=png_bomb(*size))
    assert response.status_code == 413 and "pixels" in response.json()["error"]


def test_scans_of_a_jpeg(png):
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).save(stream, "JPEG")
    open_upload(stream.getvalue(), 10**6)
    with pytest.raises(RequestError, match="scans"):
        open_upload(stream.getvalue() + b"\xff\xda" * 300, 10**6)


def slow_down(monkeypatch, client, seconds: float) -> None:
    predictor = client.app.state.service.find_model(None).predictor
    logits = type(predictor).logits

    def slow(self, pixel_values, task):
        time.sleep(seconds)
        return logits(self, pixel_values, task)

    monkeypatch.setattr(type(predictor), "logits", slow)


def post_many(client, count: int, content: bytes) -> list:
    responses = []
    threads = [
        threading.Thread(
            target=lambda: responses.append(client.post("/v1/predict", content=content))
        )
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return responses


def test_full_queue(start, monkeypatch, png):
    client = start(queue=2)
    slow_down(monkeypatch, client, 0.2)
    responses = post_many(client, 6, png)
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [200] * 2 + [503] * 4
    refused = next(response for response in responses if response.status_code == 503)
    assert int(refused.headers["retry-after"]) >= 1 and "queue" in refused.json()["error"]
    assert client.app.state.service.active == 0
    assert client.post("/v1/predict", content=png).status_code == 200


def test_timeout(start, monkeypatch, png):
    client = start(timeout_s=0.2)
    slow_down(monkeypatch, client, 0.5)
    response = client.post("/v1/predict", content=png)
    assert response.status_code == 504 and "0.2 seconds" in response.json()["error"]


def test_images_that_wait_too_long_are_refused(start, monkeypatch, png):
    client = start(timeout_s=0.3)
    service = client.app.state.service
    slow_down(monkeypatch, client, 0.5)
    service.seconds_per_image = 0.001  # an estimate of better times
    responses = post_many(client, 3, png)
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [503, 503, 504]  # only the last has been begun
    assert all("retry-after" in r.headers for r in responses if r.status_code == 503)
    assert service.active == service.decoded.images == 0


def test_estimate_of_the_waiting_time(start, monkeypatch, png):
    client = start()
    assert 0 < client.app.state.service.seconds_per_image < 1
    slow_down(monkeypatch, client, 0.1)
    for _ in range(3):
        assert client.post("/v1/predict", content=png).status_code == 200
    assert client.app.state.service.seconds_per_image > 0.04


def test_images_of_equal_size_share_a_batch(start, monkeypatch, predictor):
    client = start(max_batch=4, max_wait_ms=200)
    sizes = client.app.state.service.metrics.batch_sizes
    slow_down(monkeypatch, client, 0.1)
    images = [draw_discs(seed)[0] for seed in range(5)]
    answers = {}

    def post(index: int) -> None:
        answers[index] = client.post("/v1/predict", content=encode(images[index])).json()

    threads = [threading.Thread(target=post, args=(index,)) for index in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    for index, image in enumerate(images):
        expected = [s.rle.to_coco() for s in predictor.predict(image).segments]
        assert [s["rle"] for s in answers[index]["segments"]] == expected
    assert max(answer["batch_size"] for answer in answers.values()) > 1
    assert sizes.labels("tiny")._sum.get() == 7  # with those of the warm-up


def test_memory_of_uploads_is_bounded():
    from unimask.serving.budget import ByteBudget

    budget = ByteBudget(100)
    budget.take(80)
    with pytest.raises(RequestError) as caught:
        budget.take(30)
    assert caught.value.status == 503 and budget.held == 80
    budget.release(80)
    budget.take(100)


def test_decoded_pixels_are_bounded():
    import asyncio

    from unimask.serving.budget import DecodeBudget

    async def run() -> None:
        budget, order = DecodeBudget(2, 100), []

        async def hold(name: str, pixels: int) -> None:
            async with budget.hold(pixels):
                order.append(name)
                assert budget.images <= 2 and (budget.pixels <= 100 or budget.images == 1)
                await asyncio.sleep(0.01)

        cancelled = None
        tasks = [asyncio.create_task(hold(f"{n}", n)) for n in (90, 500, 20, 20, 20)]
        await asyncio.sleep(0.002)
        tasks[3].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(item) for item in done].count(asyncio.CancelledError) == 1
        assert order == ["90", "500", "20", "20"] and cancelled is None
        assert budget.images == budget.pixels == 0

    asyncio.run(run())


@pytest.mark.filterwarnings("ignore::unimask.processing.images.ImageWarning")
def test_grey_and_deep_images(client):
    grey = (np.arange(96 * 96).reshape(96, 96) % 255).astype(np.uint8)
    assert client.post("/v1/predict", content=encode(grey)).status_code == 200
    deep = (np.arange(96 * 96).reshape(96, 96)).astype(np.uint16)
    assert client.post("/v1/predict", content=encode(deep)).status_code == 200


def test_batches_by_device(predictor):
    from types import SimpleNamespace

    from unimask.serving.models import GPU_BATCH, ServedModel
    from unimask.serving.service import Service
    from unimask.serving.settings import ServerSettings

    assert ServedModel("tiny", predictor).max_batch == 1
    gpu = ServedModel("gpu", SimpleNamespace(device=SimpleNamespace(type="cuda")))
    assert gpu.max_batch == GPU_BATCH
    assert Service([gpu], ServerSettings()).batcher.max_batch == GPU_BATCH
    assert Service([gpu], ServerSettings(max_batch=3)).batcher.max_batch == 3
