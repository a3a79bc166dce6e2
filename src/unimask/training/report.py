"""Console output of a run: a progress bar, and one line per log interval."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from unimask.formats.terminal import Terminal


class Reporter:
    """Console output of a run; only the first process prints.

    Args:
        total: Number of steps of the run.
        done: Number of steps taken before.
        quiet: Whether nothing is printed.
    """

    def __init__(self, total: int, done: int, *, quiet: bool = False) -> None:
        self.console = Terminal(quiet=quiet)
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("", total=total, completed=done, loss="")

    def __enter__(self) -> "Reporter":
        """Show the progress bar."""
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the progress bar."""
        self.bar.stop()

    def step(self, loss: float) -> None:
        """Advance the progress bar by one step."""
        self.bar.update(self.task, advance=1, loss=f"loss {loss:.2f}")

    def print(self, line: str | Text) -> None:
        """Print a line above the progress bar."""
        self.console.print(line, soft_wrap=True)

    def row(self, row: dict[str, object], remaining: str = "") -> None:
        """Print the metrics of a log interval as one line.

        Args:
            row: Metrics of the interval.
            remaining: Description of the remaining time.
        """
        parts: list[str | Text] = [f"step {row['step']:>6}  epoch {row['epoch']:>7.2f}"]
        names = ("loss", "class", "mask", "dice", "box", "giou")
        parts += [f"{name} {row[name]:.4f}" for name in names if name in row]
        parts.append(f"lr {row['learning_rate']:.1e}  {row['seconds_per_step']:.2f} s/step")
        if row.get("skipped"):
            parts.append(f"skipped {row['skipped']}")
        if row.get("unreadable"):
            parts.append(f"unreadable {row['unreadable']}")
        if "score" in row:
            parts.append(Text(f"{row['metric']} {row['score']:.1f}", style="bold"))
        parts += [remaining] if remaining else []
        self.print(Text("  ").join(Text(p) if isinstance(p, str) else p for p in parts))
