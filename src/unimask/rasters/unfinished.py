"""Unfinished runs over large images, which continue after they were killed."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unimask.errors import OutputError
from unimask.formats.atomic import atomic_path, write_error

SETTINGS, STATE, LOCK = "settings.json", "state.safetensors", "lock"
OBJECTS, STRIPS = "objects.bin", "strips.bin"

Arrays = Mapping[str, np.ndarray]


class UnfinishedRun:
    """Folder with the finished rows of a run, and what waits for the next rows.

    Args:
        path: Folder, which is created.
        settings: Everything that the results depend on; a folder of other settings is refused.

    Raises:
        OutputError: The folder is of a run with other settings, or cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, object]) -> None:
        self.path = path
        content = json.loads(json.dumps(settings))
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / STATE).exists():
                check_settings(path, content)
            else:
                with atomic_path(path / SETTINGS) as temporary:
                    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        except OSError as error:
            raise write_error(path, error) from error
        self.streams: dict[str, BinaryIO] = {}

    @property
    def objects(self) -> Path:
        """File of finished objects."""
        return self.path / OBJECTS

    @property
    def strips(self) -> Path:
        """File of finished rows of the label map."""
        return self.path / STRIPS

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock of the folder, and close its files afterwards.

        Raises:
            OutputError: Another process holds it, or the disk is full.
        """
        from filelock import FileLock, Timeout  # The import takes 50 ms.

        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            with lock:
                yield
        except Timeout:
            raise OutputError(
                f"another process is writing {self.path}: wait for its end, or choose another --out"
            ) from None
        except OSError as error:
            raise write_error(self.path, error) from error
        finally:
            for stream in self.streams.values():
                stream.close()

    @contextmanager
    def removed_if_empty(self) -> Iterator[None]:
        """Remove the folder if the block fails before it has saved any state."""
        try:
            yield
        except BaseException:
            if not (self.path / STATE).exists():
                self.remove()
            raise

    def load(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the saved state and its arrays, both empty for a new run; open the files.

        Rows after the last saved state are removed.

        Raises:
            OutputError: The state is damaged.
        """
        state: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        if (self.path / STATE).exists():
            state, arrays = read_state(self.path)
        for name in (OBJECTS, STRIPS):
            path = self.path / name
            length = state.get("lengths", {}).get(name, 0)
            if (path.stat().st_size if path.exists() else 0) < length:
                raise OutputError(f"{self.path} is damaged: remove it to begin anew")
            stream = path.open("r+b" if path.exists() else "w+b")
            stream.truncate(length)
            stream.seek(length)
            self.streams[name] = stream
        return state, arrays

    def append(self, name: str, data: bytes) -> None:
        """Append bytes to a file."""
        self.streams[name].write(data)

    def save(self, state: Mapping[str, object], arrays: Arrays) -> None:
        """Save a state, to which `load` returns after a kill."""
        from safetensors.numpy import save_file

        lengths = {}
        for name, stream in self.streams.items():
            stream.flush()
            os.fsync(stream.fileno())
            lengths[name] = stream.tell()
        text = json.dumps({**state, "lengths": lengths})
        with atomic_path(self.path / STATE) as temporary:
            contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            save_file(contiguous, temporary, {"state": text})

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a saved state and its arrays.

    Raises:
        OutputError: They are damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path / STATE, "numpy") as file:
            state = json.loads(file.metadata()["state"])
            return state, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path} is damaged: remove it to begin anew") from error


def check_settings(path: Path, settings: Mapping[str, object]) -> None:
    """Test that a folder is of a run with these settings.

    Raises:
        OutputError: It is not.
    """
    try:
        before = json.loads((path / SETTINGS).read_text(encoding="utf-8"))
        names = [name for name in {**before, **settings} if before[name] != settings[name]]
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(f"{path} is damaged: remove it to begin anew") from None
    if names:
        name = names[0]
        raise OutputError(
            f"{path} holds an unfinished run with {name} {before[name]}, not {settings[name]}: "
            "repeat that command to continue, or remove the folder to begin anew"
        )
