"""What tests with Ray share: one cluster at a time, and ports that Ray does not use."""

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def only_cluster() -> Iterator[None]:
    """Wait until no other process has a cluster: two are too slow for Ray's time limits."""
    with (Path(tempfile.gettempdir()) / f"unimask-ray-{os.getuid()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """Return a free port below those that the system gives to Ray's own connections."""
    for port in range(20_000 + os.getpid() % 5000, 30_000):
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")
