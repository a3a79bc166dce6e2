"""Settings of the server."""

import math
from dataclasses import dataclass

from unimask.errors import SettingsError

MAX_PIXELS = 50_000_000
"""Default limit of an uploaded image's pixels; 48-megapixel photos are accepted."""

TOKEN_VARIABLE = "UNIMASK_TOKEN"
"""Environment variable of the bearer token."""

MIN_BYTES_IN_FLIGHT = 2**28
"""Number of bytes of request bodies held at the same time, for any limit of a single one."""


@dataclass(frozen=True)
class ServerSettings:
    """Limits and options of the server.

    Attributes:
        max_batch: Largest number of images per forward pass; None for `ServedModel.max_batch`.
        max_wait_ms: Longest time in milliseconds that an image is held back to fill a batch.
        queue: Largest number of images that are accepted and not yet answered.
        max_upload_mb: Largest size of a request's body in megabytes.
        max_pixels: Largest number of pixels of an image.
        timeout_s: Seconds until a request is answered with an error; also the time to upload it.
        shutdown_s: Seconds in which accepted requests are answered after SIGTERM.
        token: Bearer token that clients must send; None for none.
        cors_origins: Origins of other sites whose pages may use the server.
        allow_urls: Whether clients may send the address of an image instead of the image.
        access_log: Whether each request is logged.

    Raises:
        SettingsError: A value is out of range.
    """

    max_batch: int | None = None
    max_wait_ms: float = 10.0
    queue: int = 64
    max_upload_mb: float = 32.0
    max_pixels: int = MAX_PIXELS
    timeout_s: float = 30.0
    shutdown_s: float = 30.0
    token: str | None = None
    cors_origins: tuple[str, ...] = ()
    allow_urls: bool = False
    access_log: bool = True

    def __post_init__(self) -> None:
        for name in ("max_batch", "queue", "max_pixels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{option(name)} {value}: pass 1 or more")
        for name in ("max_upload_mb", "timeout_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{option(name)} {getattr(self, name)}: pass more than 0")
        for name in ("max_wait_ms", "shutdown_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SettingsError(f"{option(name)} {getattr(self, name)}: pass 0 or more")
        if self.token is not None:
            check_token(self.token)
        for origin in self.cors_origins:
            check_origin(origin)

    @property
    def max_upload_bytes(self) -> int:
        """Largest size of a request's body in bytes."""
        return int(self.max_upload_mb * 2**20)

    @property
    def max_bytes_in_flight(self) -> int:
        """Largest number of bytes of all request bodies held at the same time."""
        return max(MIN_BYTES_IN_FLIGHT, 2 * self.max_upload_bytes)


def option(name: str) -> str:
    """Return the option of the command line that sets an attribute."""
    return "--" + name.replace("_", "-")


def check_token(token: str) -> None:
    """Check that a token can be sent in a header.

    Raises:
        SettingsError: It is empty, or holds spaces or characters other than ASCII.
    """
    if not token or not all(33 <= ord(character) <= 126 for character in token):
        raise SettingsError("the token is empty or holds spaces or other than ASCII characters")


def check_origin(origin: str) -> None:
    """Check that an origin has the form that browsers send.

    Raises:
        SettingsError: It has not.
    """
    scheme, separator, rest = origin.partition("://")
    if origin != "*" and (
        scheme not in ("http", "https") or not separator or not rest or "/" in rest
    ):
        raise SettingsError(f"--cors-origin {origin!r}: pass an origin such as https://example.com")
