"""Progress of a batch run: a bar in a terminal, lines in a log; and warnings of many images."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import Progress

from unimask.cli.messages import print_line
from unimask.cli.result_lines import COLUMNS, format_rate
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.batch import RunRecord, Shard

LOG_SECONDS = 30.0
"""Seconds between lines of progress where stdout is no terminal."""

MAX_SHOWN = 5
"""Number of warnings, and of errors of images, that are printed."""


class RunProgress:
    """Progress of the images of a shard.

    Args:
        console: Terminal.
        record: The run.
        parts: Parts to compute.
        shard: Shard of this process.
    """

    def __init__(
        self, console: Terminal, record: "RunRecord", parts: list[int], shard: "Shard"
    ) -> None:
        self.total = sum(map(record.part_size, shard.parts(record.num_parts)))
        self.done = self.total - sum(map(record.part_size, parts))
        self.computed = self.failed = 0
        self.start = self.logged = time.monotonic()
        self.in_terminal = console.is_terminal
        self.bar = Progress(*COLUMNS, console=console, transient=True, disable=not self.in_terminal)
        self.row = self.bar.add_task("segmenting", total=self.total, completed=self.done, rate="")
        if self.done and parts:
            print_line(f"continuing: {self.done:,} of {self.total:,} images are done")

    def __enter__(self) -> "RunProgress":
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def count(self, images: int, error: str | None) -> None:
        """Count images, and print the first errors."""
        if error is not None:
            self.failed += 1
            if self.failed <= MAX_SHOWN:
                print_line(f"warning: {error}")
        self.advance(images)

    def advance(self, images: int) -> None:
        """Count images."""
        now = time.monotonic()
        if not self.computed:
            self.start = self.logged = now  # the model was loaded before
        self.computed += images
        self.done += images
        self.bar.update(self.row, completed=self.done, rate=format_rate(self.rate(now)))
        if not self.in_terminal and now - self.logged >= LOG_SECONDS:
            self.logged = now
            rate = self.rate(now) or 0.0
            rest = timedelta(seconds=round((self.total - self.done) / max(rate, 1e-9)))
            print_line(f"{self.done:,} of {self.total:,} images, {format_rate(rate)}, {rest} left")

    def rate(self, now: float) -> float | None:
        """Return the number of images per second, None at the beginning."""
        seconds = now - self.start
        return (self.computed - 1) / seconds if seconds > 0 and self.computed > 1 else None


@contextmanager
def limited_warnings() -> Iterator[None]:
    """Print the first warnings about images, and the number of others at the end.

    Python remembers each warning that it shows once, which would grow with the number of images.
    """
    from unimask.processing.images import ImageWarning

    shown = others = 0
    with warnings.catch_warnings():
        warnings.simplefilter("always", ImageWarning)
        show = warnings.showwarning

        def show_first(message: Warning | str, *rest: object, **more: object) -> None:
            nonlocal shown, others
            if isinstance(message, ImageWarning) and shown >= MAX_SHOWN:
                others += 1
            else:
                shown += isinstance(message, ImageWarning)
                show(message, *rest, **more)  # type: ignore[arg-type]

        warnings.showwarning = show_first
        yield
    if others:
        print_line(f"warning: {others:,} more warnings about images")
