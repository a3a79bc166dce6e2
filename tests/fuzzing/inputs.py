"""Numbered inputs of a reader, and the outcome of reading one."""

import gc
import resource
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzzing.content import mutated_content
from fuzzing.readers import READERS
from mutations import mutate_folder

from unimask.errors import UnimaskError

SECONDS = 20
"""Limit of the CPU time of an input, which other processes do not lengthen."""

LONGEST_WAIT = 300
"""Limit of the elapsed time of an input in seconds, which also ends waiting."""

BYTES = 2 * 2**30
"""Memory limit of an input."""


class TooSlow(BaseException):
    """An input exceeded the time limit; no `except Exception` catches this."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of reading an input.

    Attributes:
        kind: "accepted", "refused", or "failed".
        seconds: Time that reading took.
        fault: What is wrong with a failed input: exception and place, one line.
        details: Its traceback.
    """

    kind: str
    seconds: float
    fault: str = ""
    details: str = ""


class Inputs:
    """Writer of the inputs of a reader into one folder, one after the other.

    Args:
        name: The reader's.
        place: A folder of this object's own, best in memory.
        seed: Of all changes.
    """

    def __init__(self, name: str, place: Path, seed: int) -> None:
        self.name, self.reader, self.seed = name, READERS[name], seed
        self.place, self.current = place, place / "current"
        if not (place / "seeds").exists():
            self.reader.write(place / "seeds")
        self.seeds = sorted(path for path in (place / "seeds").iterdir())
        self.contents = [
            {path.relative_to(seed): path.read_bytes() for path in files_of(seed)}
            for seed in self.seeds
        ]
        self.written = -1

    def warm_up(self) -> None:
        """Read the seeds as they are, so that no input pays for imports.

        Raises:
            UnimaskError: A seed is refused.
        """
        for which in range(len(self.seeds)):
            self.written = -1
            self.restore(which)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.reader.read(self.current)
        self.written = -1  # readers may write into the folder

    def write(self, number: int) -> Path:
        """Write the input of a number, and return its folder."""
        random = Random(f"{self.name} {self.seed} {number}")
        which = random.randrange(len(self.seeds))
        self.restore(which)
        if random.random() < 0.1:
            self.written = -1
            changeable = self.current / "results" if self.name == "results" else self.current
            mutate_folder(changeable, random)
            return self.current
        fits = [p for p in self.contents[which] if (self.current / p).match(self.reader.pattern)]
        if self.name == "results":
            fits = [path for path in self.contents[which] if path.parts[0] == "results"]
        path = random.choice(sorted(fits))
        content = mutated_content(path.suffix, self.contents[which][path], random)
        (self.current / path).write_bytes(content)
        self.changed = path
        return self.current

    def restore(self, which: int) -> None:
        """Restore the folder to a copy of one seed."""
        if self.written != which or self.reader.writes:
            shutil.rmtree(self.current, ignore_errors=True)
            shutil.copytree(self.seeds[which], self.current)
        else:
            (self.current / self.changed).write_bytes(self.contents[which][self.changed])
        self.written = which

    def read(self, folder: Path) -> Outcome:
        """Read a folder like a user, within the limits."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        kind, fault, details = "accepted", "", ""
        try:
            with warnings.catch_warnings(), time_limit():
                warnings.simplefilter("ignore")
                self.reader.read(folder)
        except UnimaskError as error:
            kind = "refused"
            if "\n" in str(error) or not str(error):
                kind, fault = "failed", f"{type(error).__name__} of several lines or none"
                details = traceback.format_exc()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            kind, fault, details = "failed", place_of(error), traceback.format_exc()
        seconds = time.process_time() - start
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > BYTES and not fault:
            kind, fault = "failed", f"took {grown / 2**30:.1f} GiB"
        if seconds > 1:
            gc.collect()
        return Outcome(kind, seconds, fault, details)


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise `TooSlow` in the main thread after `SECONDS` of CPU time, or `LONGEST_WAIT`."""

    def stop(number, frame):
        raise TooSlow(f"more than {SECONDS} s of CPU time, or {LONGEST_WAIT} s")

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, SECONDS),
              (signal.ITIMER_REAL, signal.SIGALRM, LONGEST_WAIT))  # fmt: skip
    handlers = [signal.signal(number, stop) for _, number, _ in timers]
    for timer, _, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(timers, handlers, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def place_of(error: BaseException) -> str:
    """Return an exception's type, and the last line of unimask in its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/unimask/" in frame.filename] or frames
    path = "/".join(Path(ours[-1].filename).parts[-2:])
    return f"{type(error).__name__} at {path}:{ours[-1].lineno}"


def files_of(folder: Path) -> list[Path]:
    """Return the files below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
