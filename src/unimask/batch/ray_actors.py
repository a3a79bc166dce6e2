"""Batch runs on Ray: the same worker as a pool of Ray Data actors, on one machine or a cluster."""

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unimask.batch.record import RunRecord
from unimask.batch.settings import WorkerOptions
from unimask.batch.worker import PartSummary, PartWorker
from unimask.errors import MissingExtraError, SettingsError, UnimaskError, one_line
from unimask.processing.images import ImageWarning

if TYPE_CHECKING:
    import numpy as np

CLIENT = "ray://"
"""Beginning of the address of a Ray Client server, for processes outside the cluster."""

Row = dict[str, Any]

CONNECT_SECONDS = 5.0
"""Seconds to wait for a connection to a cluster."""


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Options of the pool of actors.

    Attributes:
        address: Address of a cluster ("auto", HOST:PORT or ray://HOST:PORT), "local" for a new
            instance on this machine, or "" for the cluster of RAY_ADDRESS, else a running or new
            local instance.
        actors: Number of actors; None for as many as the cluster has room for.
        cpus: Number of CPUs that each actor reserves and uses.
        gpus: Number of GPUs that each actor reserves; None for one if the cluster has any.
    """

    address: str = ""
    actors: int | None = None
    cpus: int = 2
    gpus: float | None = None


class PartActor:
    """Actor that computes parts; it loads the model once.

    Args:
        folder: Output folder of the run, on storage that all nodes share.
        options: Options of the worker.
        threads: Number of threads of PyTorch.
    """

    def __init__(self, folder: str, options: WorkerOptions, threads: int) -> None:
        import torch

        warnings.simplefilter("ignore", ImageWarning)
        torch.set_num_threads(threads)
        self.worker, self.error = None, ""
        try:
            self.worker = PartWorker(Path(folder), options)
        except UnimaskError as error:  # Ray would restart the actor, and keep no type of the error
            self.error = str(error)

    def __call__(self, batch: dict[str, "np.ndarray"]) -> dict[str, list[Any]]:
        """Compute a part, unless a dead actor has completed it; return its summary or an error."""
        part = int(batch["part"][0])
        summary = PartSummary(part, 0, 0)
        try:
            if self.worker is not None:
                summary = self.worker.process(part)
        except UnimaskError as error:
            self.error = str(error)
        row = summary._asdict() | {"error": self.error}
        return {name: [value] for name, value in row.items()}


class ClusterDriver:
    """Actor that runs Ray Data in the cluster, since Ray Data does not run over `ray://`.

    Args:
        record: The run.
        parts: Parts to compute.
        options: Options of the workers.
        cluster: Options of the pool.
    """

    def __init__(
        self, record: RunRecord, parts: list[int], options: WorkerOptions, cluster: RayOptions
    ) -> None:
        self.rows = compute_rows(record, parts, options, cluster)

    def next_row(self) -> Row | None:
        """Return the next row of `compute_rows`, or None after the last one."""
        return next(self.rows, None)


def run_on_ray(
    record: RunRecord, parts: list[int], options: WorkerOptions, cluster: RayOptions
) -> Iterator[PartSummary]:
    """Compute parts with a pool of actors.

    Only the numbers of parts are sent to actors, which read the list of images in the output
    folder. A part whose actor or node dies is computed by another actor.

    Args:
        record: The run; its folder must be on storage that all nodes share.
        parts: Parts to compute.
        options: Options of the workers.
        cluster: Options of the pool.

    Yields:
        A summary of each part when it is complete, in no fixed order.

    Raises:
        MissingExtraError: Ray is not installed.
        SettingsError: The cluster cannot be reached.
        UnimaskError: An actor cannot load the model or write a part, the cluster has no room for an
            actor, or Ray gives up.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("ray[data]", "ray")
    record = replace(record, folder=record.folder.resolve())
    with connect(cluster.address):
        import ray  # pyright: ignore[reportMissingImports]
        from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

        if cluster.address.startswith(CLIENT):
            driver: Any = ray.remote(num_cpus=0)(ClusterDriver)
            actor = driver.remote(record, parts, options, cluster)
            rows = iter(lambda: ray.get(actor.next_row.remote()), None)
        else:
            rows = compute_rows(record, parts, options, cluster)
        try:
            for row in rows:
                if row["error"]:
                    raise UnimaskError(row["error"])
                yield PartSummary(**{name: int(row[name]) for name in PartSummary._fields})
        except RayError as error:
            raise UnimaskError(stopped_by_ray(error)) from error


def compute_rows(
    record: RunRecord, parts: list[int], options: WorkerOptions, cluster: RayOptions
) -> Iterator[Row]:
    """Compute parts by Ray Data; yield a row per part, or one with the error that ends the run."""
    import logging

    import ray  # pyright: ignore[reportMissingImports]
    import ray.data  # pyright: ignore[reportMissingImports]
    from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        gpus = choose_gpus(cluster)
        actors = choose_actors(cluster, gpus, len(parts))
        dataset: Any = ray.data.from_items(
            [{"part": part} for part in parts], override_num_blocks=len(parts)
        )
        computed = dataset.map_batches(
            PartActor,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=actors, max_tasks_in_flight_per_actor=2
            ),
            num_cpus=cluster.cpus,
            num_gpus=gpus,
            fn_constructor_args=(str(record.folder), options, cluster.cpus),
        )
        yield from computed.iter_rows()
    except UnimaskError as error:
        yield {"error": str(error)}
    except RayError as error:
        yield {"error": stopped_by_ray(error)}


def stopped_by_ray(error: Exception) -> str:
    """Return the message for an error of Ray itself."""
    return f"Ray ended the run ({one_line(error)}): run the same command again to continue"


@contextmanager
def connect(address: str) -> Iterator[None]:
    """Connect to a cluster, or start Ray on this machine, for the duration of the block.

    An instance that is started here sends no usage statistics, unless RAY_USAGE_STATS_ENABLED says
    otherwise.

    Raises:
        SettingsError: The cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import logging

    import ray  # pyright: ignore[reportMissingImports]

    check_reachable(address)
    try:
        if address.startswith(CLIENT):
            ray.init(address)
        else:
            ray.init(address or None, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SettingsError(
            f"no Ray cluster answers at {address or 'RAY_ADDRESS'} ({one_line(error)}): check "
            "the address"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def check_reachable(address: str) -> None:
    """Test that a host listens at an address; Ray itself tries for minutes.

    Args:
        address: HOST:PORT, ray://HOST:PORT, or an address without a host, which is not tested.

    Raises:
        SettingsError: No connection is possible.
    """
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"no Ray cluster answers at {address} ({one_line(error)}): check the address"
        ) from error


def choose_gpus(cluster: RayOptions) -> float:
    """Return the number of GPUs of each actor: by default one if the cluster has any."""
    import ray  # pyright: ignore[reportMissingImports]

    if cluster.gpus is not None:
        return cluster.gpus
    return 1.0 if ray.cluster_resources().get("GPU", 0) >= 1 else 0.0


def choose_actors(cluster: RayOptions, gpus: float, num_parts: int) -> int:
    """Return the largest number of actors, at most one per part.

    Raises:
        SettingsError: No node has the resources of one actor.
    """
    import ray  # pyright: ignore[reportMissingImports]

    room = 0
    for node in ray.nodes():
        if node["Alive"]:
            free = node["Resources"]
            by_cpu = free.get("CPU", 0) // cluster.cpus
            by_gpu = free.get("GPU", 0) // gpus if gpus else by_cpu
            room += int(min(by_cpu, by_gpu))
    if not room:
        raise SettingsError(
            f"no node has {cluster.cpus} CPUs and {gpus:g} GPUs for an actor: pass a smaller "
            "--ray-cpus or --ray-gpus"
        )
    return min(cluster.actors or room, num_parts)
