"""Progress bars for work in several parts, added as each part starts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import Progress, TaskID

from unimask.errors import printable
from unimask.formats.terminal import Terminal


@contextmanager
def part_bars(console: Terminal) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a callback that takes a part's name, the amount done and the total."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        rows: dict[str, TaskID] = {}

        def progress(part: str, done: int, total: int) -> None:
            if part not in rows:
                rows[part] = bars.add_task(escape(printable(part)), total=total)
            bars.update(rows[part], completed=done)

        yield progress
