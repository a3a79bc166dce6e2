"""The server process: uvicorn with limits for slow clients, and a clean end on SIGTERM."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Generator
from types import FrameType

import uvicorn
from fastapi import FastAPI
from PIL import Image

from unimask.errors import SettingsError
from unimask.processing.images import ImageWarning
from unimask.serving.receiving import limited_protocol
from unimask.serving.service import Service
from unimask.serving.settings import ServerSettings

KEEP_ALIVE_SECONDS = 15
MAX_CONNECTIONS = 900
"""Largest number of connections; most systems allow a process 1,024 open files."""

MAX_HEADER_BYTES = 2**15
BACKLOG = 1024

JOIN_SECONDS = 0.5
"""Seconds to wait for the network at the end of the process."""

SWITCH_SECONDS = 0.0005
"""Interval after which a thread that computes in Python yields to one that waits.

The event loop waits in nearly every call of the system; Python's default is 5 ms.
"""


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which stops accepting images at the first signal and exits with code 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Answer the accepted requests and end; a second signal ends at once."""
        self.service.state = "draining"
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle SIGINT and SIGTERM, without raising them again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        originals = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in originals.items():
                signal.signal(number, handler)


def open_socket(host: str, port: int) -> socket.socket:
    """Listen on an address.

    Raises:
        SettingsError: The address is in use or not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, UnicodeError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{host}:{port}: {reason}; choose another --host or --port") from None
    listener.set_inheritable(False)
    return listener


def run_server(app: FastAPI, listener: socket.socket, settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT, then answer the accepted requests within a time limit."""
    configure_process(settings)
    config = uvicorn.Config(
        app,
        http=limited_protocol(),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_s)),
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    try:
        DrainingServer(config, app.state.service).run(sockets=[listener])
    finally:
        app.state.service.close()  # again after a second signal, which skips the application's end


def end_process(service: Service) -> None:
    """End the process with exit code 0 if the network is still busy with a batch.

    Python's own end would abort the process: it stops threads within PyTorch.
    """
    service.batcher.thread.join(JOIN_SECONDS)
    if service.batcher.thread.is_alive():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def is_no_cancellation(record: logging.LogRecord) -> bool:
    """Return whether a record is not about work that the end of the server has cancelled."""
    error = record.exc_info[1] if record.exc_info else None
    is_cancelled = isinstance(error, asyncio.CancelledError)
    return not is_cancelled and asyncio.CancelledError.__name__ not in record.getMessage()


def configure_process(settings: ServerSettings) -> None:
    """Set up logs, threads and memory, and limits that hold for the whole process."""
    sys.setswitchinterval(SWITCH_SECONDS)
    # A garbage collection over the modules and models would stop everything for 0.1 s.
    gc.collect()
    gc.freeze()
    # Pillow's own check protects decoders that take memory as soon as they are created.
    Image.MAX_IMAGE_PIXELS = settings.max_pixels
    # Python stores every distinct warning: uploads could fill the memory.
    warnings.simplefilter("ignore", ImageWarning)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name, level in (("unimask", logging.INFO), ("uvicorn.error", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.addFilter(is_no_cancellation)
        logger.setLevel(level)
        logger.propagate = False
