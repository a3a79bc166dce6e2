"""The server process: uvicorn with limits for slow clients, and a clean end on SIGTERM."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Generator
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from PIL import Image
from uvicorn.protocols.http.h11_impl import H11Protocol

from unimask.errors import SettingsError
from unimask.processing.images import ImageWarning
from unimask.serving.service import Service
from unimask.serving.settings import ServerSettings

HEADER_SECONDS = 10.0
"""Seconds in which the header of a request must arrive."""

KEEP_ALIVE_SECONDS = 15
MAX_CONNECTIONS = 900
"""Largest number of connections; most systems allow a process 1,024 open files."""

MAX_HEADER_BYTES = 2**15
BACKLOG = 1024


class TimedProtocol(H11Protocol):
    """HTTP/1.1 that closes connections on which no whole request header arrives in time."""

    header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit."""
        super().connection_made(transport)
        self.update_timer()

    def data_received(self, data: bytes) -> None:
        """Stop the time limit when a header is complete, and start it within the next one."""
        super().data_received(data)
        self.update_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit."""
        self.stop_timer()
        super().connection_lost(exc)

    def update_timer(self) -> None:
        """Start or stop the time limit."""
        if self.conn.their_state is not h11.IDLE:
            self.stop_timer()
        elif self.header_timer is None:
            self.header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def stop_timer(self) -> None:
        """Stop the time limit."""
        if self.header_timer is not None:
            self.header_timer.cancel()
            self.header_timer = None


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
        http=TimedProtocol,
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
    DrainingServer(config, app.state.service).run(sockets=[listener])


def configure_process(settings: ServerSettings) -> None:
    """Set up logs, and limits that hold for the whole process."""
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
        logger.setLevel(level)
        logger.propagate = False
