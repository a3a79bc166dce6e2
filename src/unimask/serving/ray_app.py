"""The server as a Ray Serve application: replicas of the same routes (extras `ray` and `serve`).

    serve run unimask.serving.ray_app:build model=nuclei max_replicas=4

Each replica is a process with its own models, queue and batches. Ray routes requests to the
replicas, and starts and stops replicas by the number of requests.
"""

import os
from typing import TYPE_CHECKING, Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from unimask.errors import MissingExtraError, SettingsError
from unimask.serving.app import create_app
from unimask.serving.models import GPU_BATCH, ServedModel, split_names
from unimask.serving.settings import MAX_PIXELS, TOKEN_VARIABLE, ServerSettings

if TYPE_CHECKING:
    from ray.serve import Application  # pyright: ignore[reportMissingImports]


class RayArguments(BaseModel):
    """Arguments of the application; the options of `unimask serve` have the same meaning there.

    Attributes:
        model: Models as for `unimask serve`, separated by commas.
        min_replicas: Smallest number of replicas.
        max_replicas: Largest number of replicas.
        target_requests: Number of requests per replica beyond which Ray starts another one.
        cpus: CPUs that a replica reserves, and its number of threads.
        gpus: GPUs that a replica reserves; a share for several replicas per GPU.
        device: Device; by default a GPU if `gpus` is not 0.
        dtype: See `unimask.load`.
        max_batch: See `ServerSettings`.
        max_wait_ms: See `ServerSettings`.
        queue: See `ServerSettings`; counts per replica.
        max_upload_mb: See `ServerSettings`.
        max_pixels: See `ServerSettings`.
        timeout_s: See `ServerSettings`.
        shutdown_s: Seconds in which a replica that is stopped answers its requests.
        allow_urls: See `ServerSettings`.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(1, ge=1)
    target_requests: float = Field(4.0, gt=0)
    cpus: float = Field(1.0, gt=0)
    gpus: float = Field(0.0, ge=0)
    device: str | None = None
    dtype: Literal["float32", "bfloat16", "float16", "int8", "auto"] = "float32"
    max_batch: int | None = None
    max_wait_ms: float = 10.0
    queue: int = 64
    max_upload_mb: float = 32.0
    max_pixels: int = MAX_PIXELS
    timeout_s: float = 30.0
    shutdown_s: float = 30.0
    allow_urls: bool = False

    def settings(self) -> ServerSettings:
        """Return the settings of a replica, with the token of the environment there.

        Raises:
            SettingsError: A value is out of range.
        """
        return ServerSettings(
            max_batch=self.max_batch,
            max_wait_ms=self.max_wait_ms,
            queue=self.queue,
            max_upload_mb=self.max_upload_mb,
            max_pixels=self.max_pixels,
            timeout_s=self.timeout_s,
            shutdown_s=self.shutdown_s,
            token=os.environ.get(TOKEN_VARIABLE),
            allow_urls=self.allow_urls,
        )


def build(arguments: RayArguments) -> "Application":
    """Build the application for `serve run` and for Serve's configuration files.

    Args:
        arguments: Models, replicas, resources and limits.

    Raises:
        MissingExtraError: Ray is not installed.
        SettingsError: An argument is out of range.
    """
    try:
        from ray import serve  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtraError("ray[serve]", "ray") from None
    settings = arguments.settings()
    split_names(arguments.model.split(","))
    if arguments.min_replicas > arguments.max_replicas:
        raise SettingsError(
            f"min_replicas {arguments.min_replicas} exceeds max_replicas: raise max_replicas"
        )
    values = arguments.model_dump()

    def create() -> FastAPI:
        return create_replica(RayArguments(**values))

    deployment: Any = serve.deployment(
        serve.ingress(create)(),
        name="unimask",
        autoscaling_config={
            "min_replicas": arguments.min_replicas,
            "max_replicas": arguments.max_replicas,
            "target_ongoing_requests": arguments.target_requests,
        },
        max_ongoing_requests=max(settings.queue, 2 * GPU_BATCH),
        graceful_shutdown_timeout_s=settings.shutdown_s,
        ray_actor_options={"num_cpus": arguments.cpus, "num_gpus": arguments.gpus},
    )
    return deployment.bind()


def create_replica(arguments: RayArguments) -> FastAPI:
    """Load the models of a replica; its start ends when they have segmented a test image.

    Raises:
        UnimaskError: A model cannot be loaded.
    """
    import torch

    from unimask.inference import load

    torch.set_num_threads(max(1, int(arguments.cpus)))
    device = arguments.device or ("cuda" if arguments.gpus else "cpu")
    served = [
        ServedModel(name, load(source, device=device, dtype=arguments.dtype))
        for name, source in split_names(arguments.model.split(",")).items()
    ]
    return create_app(served, arguments.settings(), start_ready=True)
