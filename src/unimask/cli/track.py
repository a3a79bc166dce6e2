"""`unimask track`: segment videos and streams, and follow their objects."""

import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, TextColumn

from unimask.cli.app import (
    CompileOption,
    DeviceOption,
    DtypeOption,
    ModelOption,
    OutOption,
    TaskOption,
    ThresholdOption,
    app,
)
from unimask.cli.messages import print_line
from unimask.cli.model_options import load_model
from unimask.cli.result_lines import describe_counts
from unimask.errors import SettingsError, printable
from unimask.formats.atomic import check_writable
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.video import TrackedFrame

LOG_SECONDS = 30.0
"""Seconds between lines of progress where stdout is no terminal."""

TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)")
"""Time as seconds, minutes:seconds or hours:minutes:seconds."""


@app.command()
def track(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Video file, folder or glob pattern of frames, number of a camera, or address of "
            "a stream (rtsp://...).",
        ),
    ],
    model: ModelOption = None,
    task: TaskOption = None,
    threshold: ThresholdOption = None,
    out: OutOption = Path("out"),
    formats: Annotated[
        str,
        typer.Option(
            help="Files to write, separated by commas: video (annotated MP4), jsonl (JSON lines), "
            "youtube-vis (YouTube-VIS JSON), mots (MOTS text)."
        ),
    ] = "video,jsonl",
    every: Annotated[int, typer.Option(min=1, help="Segment every so many frames only.")] = 1,
    start: Annotated[
        str, typer.Option("--from", help="First time: seconds, or minutes:seconds.")
    ] = "0",
    end: Annotated[
        str | None, typer.Option("--to", help="Time at which to stop; by default the end.")
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0.001, help="Frames per second of a folder of frames.")
    ] = 25.0,
    live: Annotated[
        bool | None,
        typer.Option(
            help="Segment the newest frame only and drop others; by default for cameras and "
            "streams."
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option(min=1, help="Seconds without a frame until a live source counts as lost."),
    ] = 60.0,
    smoothing: Annotated[
        float,
        typer.Option(
            min=0, max=0.99, help="Semantic: weight of earlier frames in the scores of classes."
        ),
    ] = 0.0,
    birth: Annotated[
        int, typer.Option(min=1, help="Number of frames with an object before it gets an id.")
    ] = 2,
    max_missing: Annotated[
        int, typer.Option(min=0, help="Number of frames after which a hidden object is given up.")
    ] = 30,
    clip: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Networks of clips: number of frames that are segmented together; by default as "
            "many as have 12 million pixels in the network's input.",
        ),
    ] = None,
    clip_overlap: Annotated[
        int | None,
        typer.Option(
            min=1, help="Networks of clips: number of frames that clips of a long video share."
        ),
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    compile: CompileOption = False,
) -> None:
    """Segment a video or a live stream; objects keep their ids from frame to frame."""
    options: dict[str, Any] = {
        "every": every,
        "start": parse_time(start),
        "end": None if end is None else parse_time(end),
        "rate": rate,
        "live": live,
        "patience": patience,
    }
    check_writable(out)
    from unimask.tracking import ClipSettings, TrackerSettings
    from unimask.video.outputs import parse_formats, write_tracks

    names = parse_formats(formats)
    settings = TrackerSettings(birth_steps=birth, max_missing=max_missing)
    if clip is not None or clip_overlap is not None:
        options["clips"] = ClipSettings(clip, clip_overlap)
    predictor = load_model(model, device, dtype, "authors", compile, None, None)
    frames = predictor.track(
        source, task, threshold=threshold, smoothing=smoothing, settings=settings, **options
    )
    progress = TrackProgress(Terminal())
    with stop_on_sigterm(), progress.shown():
        try:
            labels = predictor.description.labels
            write_tracks(frames, out, source_stem(source), labels, names, progress.count)
        finally:
            progress.finish(out)


class TrackProgress:
    """Progress of a video: a line in a terminal that is updated, or lines in a log.

    Args:
        console: Terminal.
    """

    def __init__(self, console: Terminal) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.row = self.bar.add_task("opening")
        self.frames = 0
        self.start = self.logged = time.monotonic()
        self.max_age = 0.0
        self.classes: dict[int, str] = {}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the line within the block."""
        with self.bar:
            yield

    def count(self, frame: "TrackedFrame") -> None:
        """Count a frame."""
        now = time.monotonic()
        self.start = self.start if self.frames else now
        self.frames += 1
        self.max_age = max(self.max_age, frame.age or 0.0)
        for segment in frame.result.segments:
            if segment.track_id is not None:
                self.classes[segment.track_id] = segment.label
        line = f"frame {frame.index} at {frame.time:.1f} s, {self.format_rate()}"
        if frame.age is not None:
            line += f", {1000 * frame.age:.0f} ms old"
        self.bar.update(self.row, description=line)
        if not self.console.is_terminal and now - self.logged >= LOG_SECONDS:
            self.logged = now
            print_line(line)

    def format_rate(self) -> str:
        """Return the number of frames per second, empty for the first."""
        seconds = time.monotonic() - self.start
        if self.frames < 2 or not seconds:
            return "first frame"
        return f"{(self.frames - 1) / seconds:.1f} frames/s"

    def finish(self, out: Path) -> None:
        """Print what was found, if there was any frame."""
        if not self.frames:
            return
        found = describe_counts(Counter(self.classes.values()))
        noun = "frame" if self.frames == 1 else "frames"
        line = f"{self.frames:,} {noun}, {self.format_rate()}; tracks: {found}"
        if self.max_age:
            line += f"; frames at most {1000 * self.max_age:.0f} ms old"
        self.console.print(line, soft_wrap=True)
        self.console.print(f"written to {out}/", soft_wrap=True)


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Treat SIGTERM, by which containers are stopped, like Ctrl-C: files are completed."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def parse_time(text: str) -> float:
    """Parse a time: seconds, minutes:seconds or hours:minutes:seconds.

    Raises:
        SettingsError: It is none of these.
    """
    match = TIME.fullmatch(text.strip())
    if match is None:
        raise SettingsError(f"{text!r} is no time: write seconds (90) or minutes:seconds (1:30)")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def source_stem(source: str) -> str:
    """Return the start of the names of the files of a source."""
    if source.isdecimal():
        return f"camera{source}"
    if "://" in source:
        from unimask.video.sources import hide_password

        address = hide_password(source).partition("://")[2].partition("?")[0]
        return re.sub(r"[^\w.-]+", "_", address).strip("_.") or "stream"
    path = Path(source)
    name = path.parent.name if "*" in path.name else path.name
    stem = name if path.is_dir() else Path(name).stem
    return re.sub(r"[/\\]", "_", printable(stem)).lstrip(".") or "frames"
