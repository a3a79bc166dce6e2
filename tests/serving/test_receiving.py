"""Order of received data: a few pieces per iteration of the event loop, health checks first."""

import asyncio
import itertools
from types import SimpleNamespace

from unimask.serving.receiving import CHUNKS_PER_ITERATION, ReceiveQueue


class Connection:
    """What a queue uses of a connection; data ends up in a list shared by all of them."""

    def __init__(self, loop, handled):
        self.loop, self.handled, self.queued, self.is_paused = loop, handled, 0, False
        self.is_closed = False
        self.transport = SimpleNamespace(is_closing=lambda: self.is_closed)
        self.flow = SimpleNamespace(
            pause_reading=lambda: setattr(self, "is_paused", True),
            resume_reading=lambda: setattr(self, "is_paused", False),
        )

    def handle(self, data):
        self.handled.append(data)


def test_data_is_handled_in_order_a_few_per_iteration():
    async def run():
        queue, handled = ReceiveQueue(), []
        connections = [Connection(asyncio.get_running_loop(), handled) for _ in range(10)]
        for number, connection in enumerate(connections):
            queue.put(connection, b"POST %d" % number)
        first, last = connections[0], connections[-1]
        queue.put(last, b"more")  # what the transport had read before it was paused
        assert len(handled) == CHUNKS_PER_ITERATION
        assert not first.is_paused and last.is_paused and last.queued == 2
        connections[8].is_closed = True
        urgent = Connection(first.loop, handled)
        queue.put(urgent, b"GET /health/live HTTP/1.1")
        assert handled.pop() == b"GET /health/live HTTP/1.1"
        counts = [len(handled)]
        while queue.is_scheduled:
            await asyncio.sleep(0)
            counts.append(len(handled))
        steps = [after - before for before, after in itertools.pairwise(counts)]
        assert max(steps) == CHUNKS_PER_ITERATION
        assert handled == [b"POST %d" % n for n in (0, 1, 2, 3, 4, 5, 6, 7, 9)] + [b"more"]
        del connections[8]
        assert not any(connection.is_paused or connection.queued for connection in connections)

    asyncio.run(run())


def test_pipelined_requests_keep_their_order():
    async def run():
        queue, handled = ReceiveQueue(), []
        connection = Connection(asyncio.get_running_loop(), handled)
        for number in range(CHUNKS_PER_ITERATION + 1):
            queue.put(connection, b"%d" % number)
        queue.put(connection, b"GET /health/live HTTP/1.1")
        while queue.is_scheduled:
            await asyncio.sleep(0)
        assert handled[-1] == b"GET /health/live HTTP/1.1"

    asyncio.run(run())
