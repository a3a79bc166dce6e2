"""Files of a tracked video: annotated video, JSON lines, YouTube-VIS JSON and MOTS text."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Protocol

from unimask.errors import SettingsError
from unimask.formats.atomic import partial_path
from unimask.formats.output_folder import open_output_folder
from unimask.labels import LabelSet
from unimask.video.annotated_video import AnnotatedVideo
from unimask.video.frame import TrackedFrame
from unimask.video.mots_lines import MotsLines
from unimask.video.track_lines import TrackLines
from unimask.video.youtube_vis_file import YoutubeVisFile

SUFFIXES = {
    "video": "_tracks.mp4",
    "jsonl": "_tracks.jsonl",
    "youtube-vis": "_youtube_vis.json",
    "mots": "_mots.txt",
}
"""Endings of the names of the files by format."""

MAX_PENDING = 2
"""Number of frames that wait to be written while the next one is segmented."""


class FrameWriter(Protocol):
    """Writer of one file."""

    def add(self, frame: TrackedFrame) -> None:
        """Add a frame."""
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


def parse_formats(text: str) -> tuple[str, ...]:
    """Parse names of formats separated by commas.

    Raises:
        SettingsError: A name is unknown.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [name for name in names if name not in SUFFIXES]
    if unknown or not names:
        known = ", ".join(SUFFIXES)
        raise SettingsError(f"formats {text!r}: choose from {known}, separated by commas")
    return names


def output_names(stem: str, formats: Sequence[str]) -> dict[str, str]:
    """Return the name of the file of each format."""
    return {name: stem + SUFFIXES[name] for name in formats}


def write_tracks(
    frames: Generator[TrackedFrame],
    folder: str | Path,
    stem: str,
    labels: LabelSet,
    formats: Sequence[str],
    report: Callable[[TrackedFrame], None],
) -> dict[str, Path]:
    """Write tracked frames to files, in a thread while the next frame is segmented.

    Whatever ends the frames, the files are completed first and the error is raised afterwards, so
    that a lost camera or an interruption leaves readable files.

    Args:
        frames: Tracked frames, as `Predictor.track` yields them.
        folder: Output folder: new, empty or from an earlier run.
        stem: Start of the names of the files, and name of the video.
        labels: Classes.
        formats: "video", "jsonl", "youtube-vis" or "mots".
        report: Function that is called with each frame in the writing thread.

    Returns:
        Path of the file of each format.

    Raises:
        OutputError: A file cannot be written, or the folder holds files of others.
    """
    output = open_output_folder(folder)
    names = output_names(stem, formats)
    output.check(names.values())
    problem: BaseException | None = None
    with ExitStack() as stack, closing(frames):
        first = next(frames)  # no file is created for a source that cannot be read
        writers = [
            stack.enter_context(open_writer(output, names[name], name, stem, labels))
            for name in formats
        ]
        try:
            write_frames(first, frames, writers, report)
        except (Exception, KeyboardInterrupt) as error:
            problem = error
    if problem is not None:
        raise problem
    return {name: Path(folder) / file for name, file in names.items()}


def write_frames(
    first: TrackedFrame,
    frames: Iterator[TrackedFrame],
    writers: Sequence[FrameWriter],
    report: Callable[[TrackedFrame], None],
) -> None:
    """Write and report frames in order, in a thread; after an error, those that wait too."""

    def write(frame: TrackedFrame) -> None:
        for writer in writers:
            writer.add(frame)
        report(frame)

    pending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, "writer") as thread:
        pending.append(thread.submit(write, first))
        for frame in frames:
            while len(pending) >= MAX_PENDING:
                pending.popleft().result()
            pending.append(thread.submit(write, frame))
            del frame
        while pending:
            pending.popleft().result()


@contextmanager
def open_writer(
    output, file_name: str, format: str, stem: str, labels: LabelSet
) -> Iterator[FrameWriter]:
    """Open the writer of a format; its file appears when the block ends."""
    with ExitStack() as stack:
        path = stack.enter_context(output.new_file(file_name))
        if format == "video":
            writer: FrameWriter = AnnotatedVideo(path, labels)
        elif format == "jsonl":
            writer = TrackLines(path)
        elif format == "mots":
            writer = MotsLines(path)
        else:
            spool = stack.enter_context(partial_path(output.path / f"{stem}.sqlite"))
            writer = YoutubeVisFile(path, spool, stem, labels)
        with closing(writer):
            yield writer
