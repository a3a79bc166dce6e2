"""Images in tar archives, such as those of webdataset: listed by headers, read by position."""

import tarfile
from collections.abc import Generator
from pathlib import PurePosixPath

from unimask.batch.remote import fetch, is_uri, open_binary
from unimask.errors import DataError, ImageError, one_line
from unimask.processing.images import IMAGE_SUFFIXES

MEMBER_SUFFIXES = IMAGE_SUFFIXES - {".npy"}
"""Suffixes of the images in archives; arrays are read from files only."""

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd")
"""First bytes of compressed files: gzip, bzip2, xz, Zstandard."""


def list_members(archive: str, extension: str | None = None) -> Generator[tuple[str, int, int]]:
    """List the images of an archive in its order, in constant memory.

    Args:
        archive: Path or URI of an uncompressed tar file.
        extension: Extension of the images in webdataset's sense: what follows the first dot of the
            name, such as "jpg" or "left.png"; None for all images.

    Yields:
        Name, position of the first byte in the archive, and number of bytes.

    Raises:
        DataError: The archive is missing, compressed or damaged.
    """
    with open_binary(archive) as stream:
        if stream.read(6).startswith(COMPRESSED):
            raise DataError(f"{archive} is compressed, so its files have no position: unpack it")
        stream.seek(0)
        try:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # else they stay in memory
                    if (
                        member.isreg()
                        and not member.issparse()
                        and is_member_image(member.name, extension)
                    ):
                        yield member.name, member.offset_data, member.size
        except tarfile.TarError as error:
            reason = one_line(error)
            raise DataError(
                f"{archive} is damaged ({reason}): copy or download it again"
            ) from error


def split_member(name: str) -> tuple[str, str]:
    """Split a name into webdataset's key of the sample and the extension, at the first dot."""
    folder, _, file = name.rpartition("/")
    key, _, extension = file.partition(".")
    return f"{folder}/{key}", extension


def is_member_image(name: str, extension: str | None) -> bool:
    """Return whether a member is a visible image, and has the extension if one is given."""
    path = PurePosixPath(name)
    if extension is not None and split_member(name)[1].lower() != extension.lower().lstrip("."):
        return False
    return path.suffix.lower() in MEMBER_SUFFIXES and not path.name.startswith(".")


def member_uri(archive: str, name: str) -> str:
    """Return the fsspec URI of a member."""
    return f"tar://{name}::{archive}"


def read_member(archive: str, start: int, size: int) -> bytes:
    """Read a member of an archive.

    Args:
        archive: Path or URI of the archive.
        start: Position of the first byte.
        size: Number of bytes.

    Raises:
        ImageError: The archive cannot be read, or ends before the member.
    """
    if is_uri(archive):
        data = fetch(archive, start, size)
    else:
        try:
            with open(archive, "rb") as stream:
                stream.seek(start)
                data = stream.read(size)
        except OSError as error:
            reason = error.strerror or error
            raise ImageError(f"{archive} cannot be opened ({reason}): check the path") from error
    if len(data) < size:
        raise ImageError(f"{archive} ends before this image: copy or download it again")
    return data
