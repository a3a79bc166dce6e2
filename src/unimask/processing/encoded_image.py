"""Encoded images that are no files of their own: members of archives, remote objects."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """Image in a file format, whose bytes are fetched when it is decoded.

    Attributes:
        name: Name of the image in messages.
        fetch: Function that returns the bytes; it raises `ImageError` if it cannot.
    """

    name: str
    fetch: Callable[[], bytes]
