"""Files whose reads never allocate more memory than the file has bytes left."""

import io
import os
from pathlib import Path

MAX_UNCHECKED_READ = 2**20
"""Number of bytes that are requested without looking at the size of the file."""


class BoundedReader(io.BufferedReader):
    """Reader of a file in which requests for more bytes than it has left are reduced.

    Decoders request as many bytes as a damaged header states, up to 4 GiB, and Python allocates
    them before it reads.

    Args:
        path: Path of the file.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes; all that are left if it is negative or None."""
        if size is not None and size > MAX_UNCHECKED_READ:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)
