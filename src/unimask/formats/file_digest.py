"""Digests of files by their size and some blocks, to notice changed files without reading them."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

BLOCK = 4096
"""Number of bytes read at the start, in the middle and at the end of a file."""


def sampled_digest(paths: Iterable[Path], text: str = "") -> str:
    """Compute a digest of some files from their sizes, and the bytes at their starts and ends.

    Nearly every edit of a compressed image changes its size or its end. Times do not matter, so
    that a copy has the same digest. A file that cannot be read counts as such.

    Args:
        paths: Paths of the files.
        text: Text that the digest includes, such as values from another file.
    """
    digest = hashlib.blake2b(text.encode(), digest_size=8)
    for path in paths:
        try:
            with path.open("rb", buffering=0) as stream:
                size = os.fstat(stream.fileno()).st_size
                digest.update(size.to_bytes(8, "little"))
                for place in sorted({0, max(0, size // 2), max(0, size - BLOCK)}):
                    stream.seek(place)
                    digest.update(stream.read(BLOCK))
        except OSError:
            digest.update(b"unreadable")
    return digest.hexdigest()
