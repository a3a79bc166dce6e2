"""Reading of request bodies within limits of size and time, and the file in a multipart form."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from unimask.serving.budget import ByteBudget
from unimask.serving.failures import RequestError, too_large

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

DRAIN_SECONDS = 2.0
"""Seconds in which the rest of a refused body is read and dropped.

A connection that is closed with unread data is reset, and the client may lose the answer.
"""

FILE_FIELDS = ("file", "image")
"""Names of the form field that holds the image."""

MAX_FIELDS = 16
MAX_FIELD_HEADERS = 2**13


@asynccontextmanager
async def read_body(
    request: Request, limit: int, seconds: float, budget: ByteBudget
) -> AsyncIterator[bytes]:
    """Read the body, which counts in the budget during the block.

    Args:
        request: The request.
        limit: Largest number of bytes.
        seconds: Time limit of the upload.
        budget: Bytes of all bodies that are held.

    Raises:
        RequestError: The body is too large or too slow, or the server holds too many.
    """
    check_length(request, limit)
    held = 0
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                budget.take(len(chunk))
                held += len(chunk)
                if held > limit:
                    raise too_large(limit)
                body += chunk
        yield bytes(body)
    except TimeoutError:
        raise RequestError(408, f"the body did not arrive within {seconds:g} seconds") from None
    except ClientDisconnect:
        raise RequestError(400, "the client closed the connection within the body") from None
    finally:
        budget.release(held)


def check_length(request: Request, limit: int) -> None:
    """Refuse a body whose announced length is not a number, or above the limit.

    Raises:
        RequestError: It is.
    """
    text = request.headers.get("content-length")
    if text is None:
        return
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise RequestError(400, "the header Content-Length is not a number of bytes")
    if int(text) > limit:
        raise too_large(limit)


async def drain(receive: Receive, limit: int) -> None:
    """Read and drop the rest of a refused body, up to a number of bytes and a few seconds."""
    count = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while count <= limit:
                message = await receive()
                count += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def form_file(body: bytes, content_type: str) -> bytes:
    """Return the content of the only file of a multipart form.

    Args:
        body: Whole body of the request.
        content_type: Header Content-Type, with the boundary.

    Raises:
        RequestError: The form is damaged, or has no field `file` or several.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise RequestError(400, "the header Content-Type of a form needs a boundary")
    collector = FieldCollector()
    try:
        parser = MultipartParser(boundary, collector.callbacks())
        parser.write(body)
        parser.finalize()
    except (MultipartParseError, ValueError):
        raise RequestError(400, "the form is damaged or incomplete: send it again") from None
    if not collector.is_finished:
        raise RequestError(400, "the form is incomplete: send it again")
    files = [content for name, content in collector.fields if name in FILE_FIELDS]
    if len(files) != 1:
        found = "several" if files else "none"
        raise RequestError(422, f"the form needs one image in the field file, and has {found}")
    return files[0]


class FieldCollector:
    """Fields of a multipart form, collected from the events of the parser.

    Attributes:
        fields: Name and content of each field.
        is_finished: Whether the form is complete.
    """

    def __init__(self) -> None:
        self.fields: list[tuple[str, bytes]] = []
        self.is_finished = False
        self.header_name = bytearray()
        self.header_value = bytearray()
        self.headers: dict[bytes, bytes] = {}
        self.header_bytes = 0
        self.content = bytearray()

    def callbacks(self) -> "MultipartCallbacks":
        """Return the functions that the parser calls."""
        return {
            "on_part_begin": self.begin,
            "on_part_data": self.add_content,
            "on_part_end": self.end,
            "on_header_field": self.add_header_name,
            "on_header_value": self.add_header_value,
            "on_header_end": self.end_header,
            "on_end": self.finish,
        }

    def begin(self) -> None:
        """Start a field."""
        if len(self.fields) >= MAX_FIELDS:
            raise RequestError(422, f"the form has more than {MAX_FIELDS} fields: send the image")
        self.headers, self.content, self.header_bytes = {}, bytearray(), 0

    def add_header_name(self, data: bytes, start: int, end: int) -> None:
        """Add to the name of a header of the field."""
        self.count_header(end - start)
        self.header_name += data[start:end]

    def add_header_value(self, data: bytes, start: int, end: int) -> None:
        """Add to the value of a header of the field."""
        self.count_header(end - start)
        self.header_value += data[start:end]

    def count_header(self, count: int) -> None:
        """Refuse headers that are too long."""
        self.header_bytes += count
        if self.header_bytes > MAX_FIELD_HEADERS:
            raise RequestError(422, "a field of the form has too long headers")

    def end_header(self) -> None:
        """Finish a header."""
        self.headers[bytes(self.header_name).lower()] = bytes(self.header_value)
        self.header_name, self.header_value = bytearray(), bytearray()

    def add_content(self, data: bytes, start: int, end: int) -> None:
        """Add to the content of the field."""
        self.content += memoryview(data)[start:end]

    def end(self) -> None:
        """Finish a field."""
        _, options = parse_options_header(self.headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self.fields.append((name, bytes(self.content)))
        self.content = bytearray()

    def finish(self) -> None:
        """Note that the form is complete."""
        self.is_finished = True
