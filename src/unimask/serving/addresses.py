"""Download of images from public addresses, which the server's operator may allow.

The address of a host is resolved once, checked, and connected to: a second resolution could return
a private address (DNS rebinding). Every redirect is checked in the same way.
"""

import asyncio
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from unimask.serving.failures import RequestError, too_large

MAX_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
PORTS = {"http": 80, "https": 443}
CHUNK_BYTES = 2**16
MAX_ADDRESS = 2048

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 addresses."""


class Target(NamedTuple):
    """Parts of a checked address."""

    scheme: str
    host: str
    path: str
    ip: str


async def fetch_image(address: str, max_bytes: int, seconds: float) -> bytes:
    """Download an image in a thread.

    Args:
        address: Address, http or https on its standard port.
        max_bytes: Largest accepted number of bytes.
        seconds: Time limit.

    Raises:
        RequestError: The address is not public, or the download fails.
    """
    return await asyncio.to_thread(download, address, max_bytes, time.monotonic() + seconds)


def download(address: str, max_bytes: int, deadline: float) -> bytes:
    """Download an image, following redirects.

    Raises:
        RequestError: See `fetch_image`.
    """
    for _ in range(MAX_REDIRECTS + 1):
        target = parse_target(address)
        try:
            content, location = send_request(target, max_bytes, deadline)
        except (OSError, http.client.HTTPException, ValueError):
            raise RequestError(422, "the address cannot be fetched: check it") from None
        if location is None:
            return content
        address = urljoin(address, location)
    raise RequestError(422, f"the address redirects more than {MAX_REDIRECTS} times")


def parse_target(address: str) -> Target:
    """Split an address and resolve its host to a public IP address.

    Raises:
        RequestError: The address has another form, or its host is unknown or not public.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        raise RequestError(422, "the address is malformed: check it") from None
    is_plain = address.isascii() and address.isprintable() and " " not in address
    if not is_plain or len(address) > MAX_ADDRESS or not host or parts.username is not None:
        raise RequestError(422, "the address is malformed: check it")
    if parts.scheme not in PORTS or port not in (None, PORTS[parts.scheme]):
        raise RequestError(422, "the address must be http or https on the standard port")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, path, resolve(host, PORTS[parts.scheme]))


def resolve(host: str, port: int) -> str:
    """Return the first IP address of a host, if all of them are public.

    Raises:
        RequestError: The host is unknown, or has an address that is not public.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise RequestError(422, "the host of the address is unknown: check it") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(is_public, addresses)):
        raise RequestError(422, "the host of the address is not public: send the image instead")
    return addresses[0]


def is_public(text: str) -> bool:
    """Return whether an IP address, or the IPv4 address inside it, is reachable from anywhere."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return False
        if inner is not None:
            address = inner
    return address.is_global and not address.is_multicast


def send_request(target: Target, max_bytes: int, deadline: float) -> tuple[bytes, str | None]:
    """Send one request; return the content, or the location of a redirect.

    Raises:
        RequestError: The answer is an error, too large or too slow.
        OSError, HTTPException, ValueError: The connection fails.
    """
    connection = open_connection(target, deadline)
    stream = connection.sock
    # A server that sends a byte at a time would renew a timeout per read for ever.
    timer = threading.Timer(remaining(deadline), stream.shutdown, [socket.SHUT_RDWR])
    timer.daemon = True
    timer.start()
    try:
        connection.request("GET", target.path, headers={"User-Agent": "unimask"})
        with connection.getresponse() as response:  # which holds the socket open by itself
            location = response.getheader("Location") if response.status in REDIRECTS else None
            if location is not None:
                return b"", location
            if response.status != 200:
                raise RequestError(422, f"the address answers with status {response.status}")
            content = bytearray()
            while chunk := response.read1(CHUNK_BYTES):
                content += chunk
                if len(content) > max_bytes:
                    raise too_large(max_bytes)
        remaining(deadline)  # else a stopped download would pass for a complete one
        return bytes(content), None
    finally:
        timer.cancel()
        connection.close()
        stream.close()  # the connection forgets it after the header


def open_connection(target: Target, deadline: float) -> http.client.HTTPConnection:
    """Connect to the checked IP address; certificates are checked for the host."""
    seconds = remaining(deadline)
    plain = socket.create_connection((target.ip, PORTS[target.scheme]), timeout=seconds)
    connection = http.client.HTTPConnection(target.host)
    if target.scheme == "https":
        context = ssl.create_default_context()
        connection.sock = context.wrap_socket(plain, server_hostname=target.host)
    else:
        connection.sock = plain
    return connection


def remaining(deadline: float) -> float:
    """Return the seconds until a deadline.

    Raises:
        RequestError: It is over.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise RequestError(504, "the address takes too long: try again")
    return seconds
