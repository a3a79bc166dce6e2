"""Limits of what the server holds in memory at the same time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from unimask.serving.failures import RequestError


class ByteBudget:
    """Number of bytes of request bodies held at the same time.

    Args:
        limit: Largest number of bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0

    def take(self, count: int) -> None:
        """Add bytes that are held.

        Raises:
            RequestError: They would exceed the limit.
        """
        if self.held + count > self.limit:
            raise RequestError(503, "the server holds too many uploads: try again", retry_after=1)
        self.held += count

    def release(self, count: int) -> None:
        """Subtract bytes that are no longer held."""
        self.held -= count


class DecodeBudget:
    """Number of decoded images and of their pixels held at the same time, first come first served.

    Args:
        max_images: Largest number of images.
        max_pixels: Largest number of pixels of all images; a single image may have more.
    """

    def __init__(self, max_images: int, max_pixels: int) -> None:
        self.max_images, self.max_pixels = max_images, max_pixels
        self.images = self.pixels = 0
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def fits(self, pixels: int) -> bool:
        """Return whether another image fits now."""
        if not self.images:
            return True
        return self.images < self.max_images and self.pixels + pixels <= self.max_pixels

    @asynccontextmanager
    async def hold(self, pixels: int) -> AsyncIterator[None]:
        """Wait until an image of so many pixels fits, and hold it during the block."""
        if self.waiting or not self.fits(pixels):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append((pixels, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.release(pixels)
                raise
        else:
            self.add(pixels)
        try:
            yield
        finally:
            self.release(pixels)

    def add(self, pixels: int) -> None:
        """Count an image."""
        self.images += 1
        self.pixels += pixels

    def release(self, pixels: int) -> None:
        """Stop counting an image, and let those in that fit now."""
        self.images -= 1
        self.pixels -= pixels
        while self.waiting:
            count, turn = self.waiting[0]
            if turn.done():  # its request was cancelled
                self.waiting.popleft()
            elif self.fits(count):
                self.waiting.popleft()
                self.add(count)
                turn.set_result(None)
            else:
                return
