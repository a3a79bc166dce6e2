"""Downloads of addresses: public ones only, through redirects too, within size and time."""

import http.server
import threading
import time

import pytest

from unimask.serving import addresses
from unimask.serving.addresses import download, is_public, parse_target
from unimask.serving.failures import RequestError


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2001:0:7f00:1::", False),
        ("nonsense", False),
    ],
)
def test_public_addresses(address, expected):
    assert is_public(address) is expected


@pytest.mark.parametrize(
    "address",
    [
        "",
        "file:///etc/passwd",
        "ftp://example.com/a.png",
        "gopher://example.com/",
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://example.com:22/",
        "http://user:password@example.com/",
        "http://example.com/a\r\nX-Evil: 1",
        "http://exa mple.com/",
        "http://",
        "http://[",
        "https://example.com:99999/",
        "http://" + "a" * 3000,
    ],
)
def test_refused_addresses(address):
    with pytest.raises(RequestError) as caught:
        parse_target(address)
    assert caught.value.status == 422


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
            self.end_headers()
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif self.path == "/missing":
            self.send_error(404)
        else:
            self.send_response(200)
            self.end_headers()
            if self.path == "/slow":
                time.sleep(0.5)
            self.wfile.write(b"x" * 1000)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def public_server(monkeypatch):
    """A local server under a name that passes for public."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    resolve = addresses.resolve

    def resolve_test_name(host, port):
        return "127.0.0.1" if host == "public.test" else resolve(host, port)

    monkeypatch.setattr(addresses, "resolve", resolve_test_name)
    monkeypatch.setattr(addresses, "PORTS", {"http": server.server_port, "https": 443})
    yield f"http://public.test:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_download(public_server):
    assert download(f"{public_server}/x", 1000, time.monotonic() + 5) == b"x" * 1000


@pytest.mark.parametrize(
    ("path", "size", "seconds", "status"),
    [
        ("/x", 999, 5, 413),
        ("/missing", 1000, 5, 422),
        ("/loop", 1000, 5, 422),
        ("/redirect", 1000, 5, 422),
        ("/slow", 1000, 0.2, None),
    ],
)
def test_failed_downloads(public_server, path, size, seconds, status):
    with pytest.raises(RequestError) as caught:
        download(public_server + path, size, time.monotonic() + seconds)
    assert caught.value.status in ((422, 504) if status is None else (status,))


def test_server_fetches_only_if_allowed(start, png, monkeypatch):
    from unimask.serving import native

    async def fetch(address, max_bytes, seconds):
        assert address == "https://example.com/x.png"
        return png

    monkeypatch.setattr(native, "fetch_image", fetch)
    client = start(allow_urls=True)
    response = client.post("/v1/predict", json={"url": "https://example.com/x.png"})
    assert response.status_code == 200 and response.json()["segments"]
    assert client.post("/v1/predict", json={"url": 5}).status_code == 422
    assert (
        client.post(
            "/v1/predict", content=b"{", headers={"content-type": "application/json"}
        ).status_code
        == 400
    )
