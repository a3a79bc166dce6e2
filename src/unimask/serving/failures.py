"""Failures of requests, each with the HTTP status that clients get."""

from unimask.errors import UnimaskError


class RequestError(UnimaskError):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        message: What is wrong and how to change it, in one line.
        retry_after: Seconds after which the client may try again, or None.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def too_large(limit: int) -> RequestError:
    """Build the error for a body that exceeds the limit."""
    megabytes = f"{limit / 2**20:.4g}"
    return RequestError(
        413, f"the body has more than {megabytes} MB: send a smaller or more compressed image"
    )
