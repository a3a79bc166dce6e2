"""HTML pages: the page at `/`, and the documentation of the routes, without external files."""

import base64
import hashlib
import re
from functools import cache
from html import escape
from importlib import resources
from typing import Any

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)

PAGE_NAME = "page.html"
INLINE = re.compile(r"<(script|style)\b[^>]*>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
"""Inline elements, whose hashes the content security policy lists."""

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; }
code, h2 { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
"""


@router.get("/")
async def page() -> Response:
    """Return the page in which images are segmented."""
    return html_response(read_page())


@router.get("/docs")
async def documentation(request: Request) -> Response:
    """Return the documentation of all routes."""
    return html_response(documentation_page(request.app.openapi()))


@cache
def read_page() -> str:
    """Read the page of the package."""
    return resources.files("unimask.serving").joinpath(PAGE_NAME).read_text("utf-8")


def html_response(content: str) -> Response:
    """Build a response with a policy that forbids everything but the page's own inline parts."""
    headers = {"content-security-policy": content_policy(content)}
    return Response(content, headers=headers, media_type="text/html")


def content_policy(content: str) -> str:
    """Build the content security policy of a page from the hashes of its inline elements."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for match in INLINE.finditer(content):
        digest = hashlib.sha256(match[2].encode()).digest()
        hashes[match[1].lower()].append(f"'sha256-{base64.b64encode(digest).decode()}'")
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(hashes["script"]) or "'none'",
        "style-src": " ".join(hashes["style"]) or "'none'",
        "img-src": "'self' data: blob:",
        "media-src": "blob: mediastream:",
        "worker-src": "blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def documentation_page(schema: dict[str, Any]) -> str:
    """Describe the routes of an OpenAPI schema as HTML."""
    title = escape(f"{schema['info']['title']} {schema['info']['version']}")
    routes = [
        describe_route(method, path, route)
        for path, methods in schema["paths"].items()
        for method, route in methods.items()
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{escape(schema['info'].get('description', ''))} The schema of all requests and "
        'responses is <a href="openapi.json">openapi.json</a>.</p>'
        f"{''.join(routes)}</body></html>"
    )


def describe_route(method: str, path: str, route: dict[str, Any]) -> str:
    """Describe a route: its parameters, bodies and responses."""
    parameters = [
        (item["name"], item["in"], item.get("description", ""))
        for item in route.get("parameters", [])
    ]
    bodies = [(kind, "body", "") for kind in route.get("requestBody", {}).get("content", {})]
    responses = [
        (status, ", ".join(item.get("content", {})), item.get("description", ""))
        for status, item in route.get("responses", {}).items()
    ]
    return (
        f"<h2>{escape(method.upper())} {escape(path)}</h2>"
        f"<p>{escape(route.get('description', ''))}</p>"
        f"{table(parameters + bodies)}{table(responses)}"
    )


def table(rows: list[tuple[str, str, str]]) -> str:
    """Build a table whose first column holds code."""
    lines = [
        f"<tr><th scope=row><code>{escape(first)}</code></th><td>{escape(second)}</td>"
        f"<td>{escape(third)}</td></tr>"
        for first, second, third in rows
    ]
    return f"<table>{''.join(lines)}</table>" if lines else ""
