"""Path of an image through the server: checked, decoded, batched, segmented."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from PIL import Image
from starlette.types import Receive

from unimask.errors import ImageError, SettingsError, TaskError
from unimask.labels import Task
from unimask.results import Result
from unimask.serving.batcher import Batcher, Prediction, WaitingImage
from unimask.serving.budget import ByteBudget, DecodeBudget
from unimask.serving.failures import RequestError
from unimask.serving.metrics import ServerMetrics
from unimask.serving.models import ServedModel
from unimask.serving.settings import ServerSettings
from unimask.serving.uploads import open_upload

WORKER_THREADS = 2
"""Number of threads that decode images and encode answers, beside the network's."""

WARM_UP_SIZE = (480, 640)
"""Height and width of the image that each model segments before the server is ready."""

QUEUE_SHARE = 0.8
"""Share of the time limit that images may be expected to wait; more are refused at once."""

SMOOTHING = 0.2
"""Weight of the last image in the running mean of seconds per image."""

Done = TypeVar("Done")


@dataclass(frozen=True)
class PredictionRequest:
    """What a client asks for one image.

    Attributes:
        data: The encoded image.
        model: Model to run.
        task: Task, one of the model's.
        threshold: Threshold as in `Predictor.predict`.
    """

    data: bytes
    model: ServedModel
    task: Task
    threshold: float | None


@dataclass(frozen=True)
class Answer:
    """Result of a request, with the milliseconds of its stages and the size of its batch."""

    result: Result
    timings: dict[str, float]
    batch_size: int


class Service:
    """Loaded models, the thread that runs them, and the limits of what is held.

    Args:
        models: Models; the first is the default.
        settings: Limits and options.
    """

    def __init__(self, models: Sequence[ServedModel], settings: ServerSettings) -> None:
        self.models = {model.name: model for model in models}
        self.settings = settings
        self.active = 0
        self.seconds_per_image = 0.0
        self.state: Literal["loading", "ready", "draining"] = "loading"
        self.metrics = ServerMetrics(lambda: self.active)
        self.uploads = ByteBudget(settings.max_bytes_in_flight)
        max_batch = settings.max_batch or max(model.max_batch for model in models)
        # As many as the network has at a time, as many that are ready, and those of the decoders.
        max_images = 2 * max_batch + WORKER_THREADS
        self.decoded = DecodeBudget(max_images, max(settings.max_pixels, 2**26))
        self.batcher = Batcher(max_batch, settings.max_wait_ms, self.metrics.observe_batch)
        self.workers = ThreadPoolExecutor(WORKER_THREADS, "unimask-worker")

    def start(self) -> None:
        """Start the threads, and warm the models up in the running event loop."""
        self.batcher.start()
        self.warm_up_task = asyncio.ensure_future(self.warm_up())

    async def warm_up(self) -> None:
        """Segment an image with each model; the server is ready then.

        The first pass prepares libraries and memory; the second one is measured.
        """
        for model in self.models.values():
            blank = np.full((*WARM_UP_SIZE, model.predictor.channels), 127, np.uint8)
            task = model.predictor.tasks[0]
            await self.segment(model, task, None, blank)
            self.measure((await self.segment(model, task, None, blank)).result)
        if self.state == "loading":
            self.state = "ready"

    def close(self) -> None:
        """End the threads; requests that are still waiting are cancelled."""
        self.state = "draining"
        self.batcher.close()
        self.workers.shutdown(wait=False, cancel_futures=True)

    def find_model(self, name: str | None) -> ServedModel:
        """Return the model of a name, or the first.

        Raises:
            RequestError: There is none of that name.
        """
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            known = ", ".join(self.models)
            raise RequestError(404, f"no model {name[:80]!r}: choose one of {known}")
        return self.models[name]

    def check_open(self) -> None:
        """Refuse an image if the server is not ready or its queue is full.

        Raises:
            RequestError: It is so.
        """
        if self.state != "ready":
            text = "is shutting down" if self.state == "draining" else "is loading its models"
            raise RequestError(503, f"the server {text}: try again later", retry_after=5)
        wait = self.active * self.seconds_per_image
        if self.active >= self.settings.queue or wait > QUEUE_SHARE * self.settings.timeout_s:
            seconds = max(1, math.ceil(wait))
            raise RequestError(503, "the queue is full: try again", retry_after=seconds)

    async def predict(self, request: PredictionRequest) -> Answer:
        """Segment an uploaded image.

        Raises:
            RequestError: The queue is full, the image is unusable, or time is out.
        """
        self.check_open()
        self.active += 1
        submitted: list[WaitingImage] = []
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                answer = await self.open_and_segment(request, submitted)
        except TimeoutError:
            raise self.late(submitted) from None
        finally:
            self.active -= 1
        self.measure(answer.result)
        self.metrics.images.labels(request.model.name, request.task).inc()
        return answer

    def late(self, submitted: list[WaitingImage]) -> RequestError:
        """Build the error for an image that the network has not begun, or not finished, in time."""
        if submitted and not submitted[0].future.cancelled():
            limit = f"{self.settings.timeout_s:g}"
            return RequestError(504, f"no answer within {limit} seconds: try again")
        seconds = max(1, math.ceil(self.active * self.seconds_per_image))
        return RequestError(503, "the queue takes too long: try again", retry_after=seconds)

    def measure(self, result: Result) -> None:
        """Update the running mean of the seconds that the network's thread needs per image."""
        seconds = (result.speed["network"] + result.speed["postprocess"]) / 1000
        weight = SMOOTHING if self.seconds_per_image else 1.0
        self.seconds_per_image += weight * (seconds - self.seconds_per_image)

    async def open_and_segment(
        self, request: PredictionRequest, submitted: list[WaitingImage]
    ) -> Answer:
        """Check the header of an image, wait until it may be decoded, and segment it.

        Args:
            request: What the client asks for.
            submitted: List to which the image is added when it waits for the network.
        """
        start = time.perf_counter()
        self.batcher.expect(1)
        is_expected = True

        def stop_expecting() -> None:
            nonlocal is_expected
            if is_expected:
                self.batcher.expect(-1)
                is_expected = False

        def arrived(image: WaitingImage) -> None:
            submitted.append(image)
            stop_expecting()

        try:
            image = await self.work(open_upload, request.data, self.settings.max_pixels)
            async with self.decoded.hold(image.width * image.height):
                waited = 1000 * (time.perf_counter() - start)
                prediction = await self.segment(
                    request.model, request.task, request.threshold, image, arrived
                )
        finally:
            stop_expecting()
        speed = prediction.result.speed
        timings = {
            "queue": waited + prediction.waited_ms,
            "decode": speed["preprocess"],
            "network": speed["network"],
            "postprocess": speed["postprocess"],
        }
        return Answer(prediction.result, timings, prediction.batch_size)

    async def segment(
        self,
        model: ServedModel,
        task: Task,
        threshold: float | None,
        image: Image.Image | np.ndarray,
        arrived: Callable[[WaitingImage], None] = lambda image: None,
    ) -> Prediction:
        """Decode an image in a worker thread, and segment it in the network's thread."""
        try:
            pending = await self.work(
                model.predictor.prepare, image, None, self.settings.max_pixels
            )
            waiting = WaitingImage(model, task, threshold, pending)
            del pending
            arrived(waiting)
            self.batcher.submit(waiting)
            return await asyncio.wrap_future(waiting.future)
        except (ImageError, TaskError, SettingsError) as error:
            raise RequestError(422, str(error)) from None
        except MemoryError:
            raise RequestError(503, "the server is out of memory: try again", 5) from None

    async def work(self, function: Callable[..., Done], *arguments: object) -> Done:
        """Run a function in a worker thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.workers, function, *arguments)


async def while_connected(receive: Receive, work: Awaitable[Done]) -> Done:
    """Await a result, but cancel the work as soon as the client closes the connection.

    Raises:
        RequestError: The client has closed it.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(wait_for_disconnect(receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise RequestError(400, "the client closed the connection")
    finally:
        for future in (task, watcher):
            future.cancel()


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
