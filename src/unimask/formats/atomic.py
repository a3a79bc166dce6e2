"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unimask.errors import OutputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, moved into its place when the block ends well.

    The temporary name keeps the suffix, since writers choose their format by it.

    Raises:
        OutputError: The folder cannot be made, or the file cannot be written.
    """
    temporary = path.with_name(f".partial-{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; choose another place") from error
    finally:
        with suppress(OSError):  # gone already, or its folder cannot be written to
            temporary.unlink()
