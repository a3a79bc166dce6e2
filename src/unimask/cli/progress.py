"""Bars of long work: one per part, each made when its part begins."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import Progress, TaskID

from unimask.errors import printable
from unimask.formats.terminal import Terminal


@contextmanager
def part_bars(console: Terminal) -> Iterator[Callable[[str, int, int], None]]:
    """Give what is told a part, how much of it is done, and how much there is."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        rows: dict[str, TaskID] = {}

        def progress(part: str, done: int, total: int) -> None:
            if part not in rows:
                rows[part] = bars.add_task(escape(printable(part)), total=total)
            bars.update(rows[part], completed=done)

        yield progress
