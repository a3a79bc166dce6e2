"""What a person sees of a run: a bar that moves, and one line per stretch of steps."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from unimask.formats.terminal import Terminal


class Reporter:
    """Prints a run; only the first process of many speaks.

    Args:
        total: Steps of the run.
        done: Steps taken before.
        quiet: Print nothing.
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
        """Show the bar."""
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self.bar.stop()

    def step(self, loss: float) -> None:
        """Move the bar."""
        self.bar.update(self.task, advance=1, loss=f"loss {loss:.2f}")

    def say(self, line: str | Text) -> None:
        """Print a line above the bar."""
        self.console.print(line, soft_wrap=True)

    def row(self, row: dict[str, object], remaining: str = "") -> None:
        """Print a stretch of steps in one line.

        Args:
            row: Its numbers.
            remaining: How long the run still takes.
        """
        parts: list[str | Text] = [f"step {row['step']:>6}  epoch {row['epoch']:>7.2f}"]
        parts += [f"{name} {row[name]:.4f}" for name in ("loss", "class", "mask", "dice")]
        parts.append(f"lr {row['learning_rate']:.1e}  {row['seconds_per_step']:.2f} s/step")
        if row.get("skipped"):
            parts.append(f"skipped {row['skipped']}")
        if row.get("unreadable"):
            parts.append(f"unreadable {row['unreadable']}")
        if "score" in row:
            parts.append(Text(f"{row['metric']} {row['score']:.1f}", style="bold"))
        parts += [remaining] if remaining else []
        self.say(Text("  ").join(Text(p) if isinstance(p, str) else p for p in parts))
