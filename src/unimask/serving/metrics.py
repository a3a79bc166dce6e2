"""Metrics of the server in Prometheus' format."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    generate_latest,
)

from unimask.version import __version__

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)

STAGES = ("upload", "decode", "queue", "network", "postprocess", "encode")
"""Stages of a request for a prediction."""


class ServerMetrics:
    """Counters and histograms of one server.

    Args:
        queue_length: Function that returns the number of accepted and unanswered images.
    """

    def __init__(self, queue_length: Callable[[], int]) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "unimask_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "unimask_request_seconds",
            "Time from the header of a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.stages = Histogram(
            "unimask_stage_seconds",
            "Time per stage.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self.images = Counter(
            "unimask_images", "Images segmented.", ["model", "task"], registry=registry
        )
        self.batch_sizes = Histogram(
            "unimask_batch_size",
            "Images per batch.",
            ["model"],
            buckets=BATCH_SIZES,
            registry=registry,
        )
        self.queue = Gauge(
            "unimask_queue_length", "Images accepted and not yet answered.", registry=registry
        )
        self.queue.set_function(queue_length)
        Info("unimask_build", "Version of unimask.", registry=registry).info(
            {"version": __version__}
        )
        for stage in STAGES:
            self.stages.labels(stage)

    def observe_stages(self, milliseconds: dict[str, float]) -> None:
        """Add the times of a request's stages."""
        for stage, value in milliseconds.items():
            if stage in STAGES:
                self.stages.labels(stage).observe(value / 1000)

    def observe_batch(self, model: str, size: int) -> None:
        """Add the size of a batch."""
        self.batch_sizes.labels(model).observe(size)

    def export(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self.registry)
