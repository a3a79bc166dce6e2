"""Batches of waiting images: equal model, task, threshold and padded size, in order of arrival."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from unimask.inference.batches import Pending
from unimask.labels import Task
from unimask.results import Result
from unimask.serving.models import ServedModel


class BatchKey(NamedTuple):
    """What images of a batch have in common."""

    model: str
    task: Task
    threshold: float | None
    padded_size: tuple[int, int]


class Prediction(NamedTuple):
    """Result of an image, milliseconds between preprocessing and network, and its batch's size."""

    result: Result
    waited_ms: float
    batch_size: int


@dataclass(eq=False)
class WaitingImage:
    """A preprocessed image that waits for its batch."""

    model: ServedModel
    task: Task
    threshold: float | None
    pending: Pending
    future: "Future[Prediction]" = field(default_factory=Future)
    arrival: float = field(default_factory=time.perf_counter)

    @property
    def key(self) -> BatchKey:
        """What images of a batch have in common."""
        size = self.pending.preprocessed.padded_size
        return BatchKey(self.model.name, self.task, self.threshold, size)


class Batcher:
    """A thread that runs the networks on batches of waiting images.

    Args:
        max_batch: Largest number of images per batch.
        max_wait_ms: Longest time in milliseconds that an image is held back to fill its batch.
        on_batch: Function that is called with model and size of every batch, in the thread.
    """

    def __init__(
        self, max_batch: int, max_wait_ms: float, on_batch: Callable[[str, int], None]
    ) -> None:
        self.max_batch, self.max_wait = max_batch, max_wait_ms / 1000
        self.on_batch = on_batch
        self.waiting: deque[WaitingImage] = deque()
        self.expected = 0
        self.is_closed = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.serve, name="unimask-network", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def close(self) -> None:
        """End the thread after the current batch; images that still wait are cancelled."""
        with self.changed:
            self.is_closed = True
            for image in self.waiting:
                image.future.cancel()
            self.waiting.clear()
            self.changed.notify_all()

    def expect(self, count: int) -> None:
        """Change the number of images that will follow, for which a batch is worth waiting."""
        with self.changed:
            self.expected += count
            self.changed.notify_all()

    def submit(self, image: WaitingImage) -> None:
        """Add an image."""
        with self.changed:
            if self.is_closed:
                image.future.cancel()
                return
            self.waiting.append(image)
            self.changed.notify_all()

    def serve(self) -> None:
        """Run batches until the end."""
        while batch := self.next_batch():
            run_batch(batch, self.on_batch)
            del batch  # else its images stay in memory until the next request

    def next_batch(self) -> list[WaitingImage]:
        """Wait for the next batch; empty at the end."""
        with self.changed:
            while not self.is_closed:
                self.drop_cancelled()
                if not self.waiting:
                    self.changed.wait()
                    continue
                batch = self.oldest_batch()
                rest = self.waiting[0].arrival + self.max_wait - time.perf_counter()
                if len(batch) < self.max_batch and self.expected and rest > 0:
                    self.changed.wait(rest)
                    continue
                chosen = set(map(id, batch))
                self.waiting = deque(i for i in self.waiting if id(i) not in chosen)
                running = [i for i in batch if i.future.set_running_or_notify_cancel()]
                if running:
                    return running
        return []

    def drop_cancelled(self) -> None:
        """Remove images whose requests have ended."""
        if any(image.future.cancelled() for image in self.waiting):
            self.waiting = deque(i for i in self.waiting if not i.future.cancelled())

    def oldest_batch(self) -> list[WaitingImage]:
        """Return the image that waits longest, with others of the same key."""
        key = self.waiting[0].key
        return [image for image in self.waiting if image.key == key][: self.max_batch]


def run_batch(batch: list[WaitingImage], on_batch: Callable[[str, int], None]) -> None:
    """Predict a batch and set its futures: to results, or all that have none to the error."""
    start = time.perf_counter()
    first = batch[0]
    try:
        on_batch(first.model.name, len(batch))
        pending = [image.pending for image in batch]
        predictor = first.model.predictor
        results = predictor.run(pending, first.task, first.threshold, retain_confidence=False)
        for image, result in zip(batch, results, strict=True):
            waited = 1000 * (start - image.arrival)
            with suppress(InvalidStateError):
                image.future.set_result(Prediction(result, waited, len(batch)))
    except Exception as error:  # errors belong to the requests; the thread continues
        for image in batch:
            with suppress(InvalidStateError):
                image.future.set_exception(error)
