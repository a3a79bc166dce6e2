"""Order in which the event loop handles what clients have sent.

asyncio handles all connections with data in the same iteration. With hundreds of them, an iteration
takes a tenth of a second, and so do the next ones, in which their requests are answered. Here an
iteration handles a few, except requests for the server's health, which are handled at once.
"""

import asyncio
from collections import deque

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""Seconds in which the header of a request must arrive."""

CHUNKS_PER_ITERATION = 4

URGENT = (b"GET /health/", b"GET /v2/health/")
"""Starts of requests that wait for no others."""


class ReceiveQueue:
    """Data that connections of one event loop have received, in order of arrival."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[TimedProtocol, bytes]] = deque()
        self.handled = 0
        self.is_scheduled = False

    def put(self, protocol: "TimedProtocol", data: bytes) -> None:
        """Handle data now, or in a later iteration; its connection is not read until then."""
        if data.startswith(URGENT) and not protocol.queued:
            protocol.handle(data)
            return
        if self.waiting or self.handled >= CHUNKS_PER_ITERATION:
            protocol.queued += 1
            protocol.flow.pause_reading()
            self.waiting.append((protocol, data))
        else:
            self.handled += 1
            protocol.handle(data)
        if not self.is_scheduled:
            self.is_scheduled = True
            protocol.loop.call_soon(self.advance, protocol.loop)

    def advance(self, loop: asyncio.AbstractEventLoop) -> None:
        """Handle the share of this iteration."""
        self.handled = 0
        while self.waiting and self.handled < CHUNKS_PER_ITERATION:
            protocol, data = self.waiting.popleft()
            protocol.queued -= 1
            if not protocol.transport.is_closing():
                self.handled += 1
                if not protocol.queued:
                    protocol.flow.resume_reading()
                protocol.handle(data)
        self.is_scheduled = bool(self.handled)
        if self.is_scheduled:
            loop.call_soon(self.advance, loop)


class TimedProtocol(H11Protocol):
    """HTTP/1.1 that closes connections on which no whole request header arrives in time.

    Attributes:
        receive_queue: Queue of the server's connections; set by a subclass for each server.
        queued: Number of pieces of data that wait in it.
    """

    receive_queue: ReceiveQueue
    queued = 0
    header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit."""
        super().connection_made(transport)
        self.update_timer()

    def data_received(self, data: bytes) -> None:
        """Handle data when it is its turn."""
        self.receive_queue.put(self, data)

    def handle(self, data: bytes) -> None:
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


def limited_protocol() -> type[TimedProtocol]:
    """Return the protocol of a server, with a queue of its own."""

    class Protocol(TimedProtocol):
        receive_queue = ReceiveQueue()

    return Protocol
