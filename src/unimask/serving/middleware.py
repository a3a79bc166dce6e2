"""What every request passes: id, token, headers of the response, access log and metrics."""

import asyncio
import hashlib
import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Iterable

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unimask.errors import one_line
from unimask.serving.bodies import drain
from unimask.serving.context import CONTEXT_KEY, RequestContext
from unimask.serving.metrics import ServerMetrics
from unimask.serving.settings import ServerSettings

ACCESS_LOG = logging.getLogger("unimask.access")
ERROR_LOG = logging.getLogger("unimask.serving")

OPEN_ROUTES = frozenset(
    {
        ("GET", path)
        for path in (
            "/",
            "/docs",
            "/openapi.json",
            "/health/live",
            "/health/ready",
            "/v2/health/live",
            "/v2/health/ready",
        )
    }
)
"""Requests that need no token."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Ids of clients that are taken over; others are replaced."""

FIXED_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class RequestMiddleware:
    """ASGI middleware around all routes.

    Args:
        app: Application behind it.
        settings: Limits and options.
        metrics: Metrics that count requests.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: ServerMetrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self.digest = None if settings.token is None else digest(settings.token.encode("ascii"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self.settings)
        try:
            if self.is_allowed(scope):
                await self.app(scope, exchange.receive, exchange.send)
            else:
                headers = {"www-authenticate": "Bearer"}
                text = "this server needs a token: send Authorization: Bearer TOKEN"
                await exchange.send_error(401, text, headers)
        except asyncio.CancelledError:  # the time to answer accepted requests is over
            if exchange.status is None:
                text = "the server is shutting down: try again later"
                await exchange.send_error(503, text, {"retry-after": "5"})
        except Exception as error:
            ERROR_LOG.exception("%s: %s", exchange.context.request_id, one_line(error, 300))
            if exchange.status is None:
                await exchange.send_error(500, "the server failed: see its log")
        finally:
            self.record(exchange)

    def is_allowed(self, scope: Scope) -> bool:
        """Return whether a request needs no token, or has the right one."""
        if self.digest is None or (scope["method"], scope["path"]) in OPEN_ROUTES:
            return True
        return has_token(scope["headers"], self.digest)

    def record(self, exchange: "Exchange") -> None:
        """Count a request, and log it."""
        seconds = time.perf_counter() - exchange.start
        route = getattr(exchange.scope.get("route"), "path", "other")
        status = str(exchange.status or 499)  # nginx's number for a closed connection
        self.metrics.requests.labels(route, status).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        if self.settings.access_log:
            ACCESS_LOG.info(json.dumps(exchange.log_entry(1000 * seconds)))


class Exchange:
    """One request and its response.

    Attributes:
        status: Status of the response, or None before it is sent.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, settings: ServerSettings
    ) -> None:
        self.scope, self.settings = scope, settings
        self.outer_receive, self.outer_send = receive, send
        self.start = time.perf_counter()
        self.headers = Headers(scope=scope)
        given = self.headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        self.context = scope[CONTEXT_KEY] = RequestContext(request_id)
        self.status: int | None = None
        self.received = self.sent = 0
        has_body = "content-length" in self.headers or "transfer-encoding" in self.headers
        self.body_pending = has_body and self.headers.get("content-length") != "0"

    async def receive(self) -> Message:
        """Receive a message of the request."""
        message = await self.outer_receive()
        self.received += len(message.get("body", b""))
        if not message.get("more_body", False):
            self.body_pending = False
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the response, within the time limit."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.context.request_id
            for name, value in FIXED_HEADERS.items():
                headers.setdefault(name, value)
            if self.body_pending:
                headers["connection"] = "close"
                # A client that waits for permission sends nothing after an error.
                expects = self.headers.get("expect", "").lower() == "100-continue"
                if self.status != 408 and not expects:
                    await drain(self.receive, 4 * self.settings.max_upload_bytes)
        self.sent += len(message.get("body", b""))
        async with asyncio.timeout(self.settings.timeout_s):
            await self.outer_send(message)

    async def send_error(
        self, status: int, text: str, headers: dict[str, str] | None = None
    ) -> None:
        """Send an error as JSON."""
        body = msgspec.json.encode({"error": text, "request_id": self.context.request_id})
        values = {"content-type": "application/json", "content-length": str(len(body))}
        raw = [(k.encode(), v.encode()) for k, v in (values | (headers or {})).items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})

    def log_entry(self, milliseconds: float) -> dict[str, object]:
        """Return the entry of the access log; JSON escapes whatever the client has sent."""
        client = self.scope.get("client")
        return {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "request_id": self.context.request_id,
            "client": client[0] if client else None,
            "method": self.scope["method"],
            "path": self.scope["path"][:200],
            "status": self.status or 499,
            "ms": round(milliseconds, 1),
            "received": self.received,
            "sent": self.sent,
            **self.context.log,
        }


def digest(token: bytes) -> bytes:
    """Return a hash of a token: comparing hashes takes equal time for tokens of any length."""
    return hashlib.sha256(token).digest()


def has_token(headers: Iterable[tuple[bytes, bytes]], expected: bytes) -> bool:
    """Return whether the only header Authorization holds the token of a hash."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return False
    scheme, _, token = values[0].partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(digest(token.strip()), expected)
