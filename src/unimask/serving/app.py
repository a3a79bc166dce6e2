"""The ASGI application: all routes around one service."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from unimask.serving import health, huggingface, inference_protocol, native, pages
from unimask.serving.context import request_context
from unimask.serving.failures import RequestError
from unimask.serving.middleware import RequestMiddleware
from unimask.serving.models import ServedModel
from unimask.serving.native import json_response
from unimask.serving.service import Service
from unimask.serving.settings import ServerSettings
from unimask.version import __version__

DESCRIPTION = "Universal image segmentation: semantic, instance and panoptic."


def create_app(
    models: Sequence[ServedModel],
    settings: ServerSettings | None = None,
    *,
    start_ready: bool = False,
) -> FastAPI:
    """Build the application.

    Its lifespan starts the threads and warms the models up; `app.state.service` is the `Service`.

    Args:
        models: Models; the first is the default.
        settings: Limits and options.
        start_ready: Whether the start of the lifespan ends after the warm-up, for hosts that have
            no other way to know when an application is ready.
    """
    settings = settings or ServerSettings()
    service = Service(models, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            if start_ready:
                await service.warm_up_task
            yield
        finally:
            service.close()

    app = FastAPI(
        title="unimask",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    for module in (native, huggingface, inference_protocol, health, pages):
        app.include_router(module.router)
    app.add_exception_handler(RequestError, answer_request_error)
    app.add_exception_handler(HTTPException, answer_http_error)
    app.add_exception_handler(RequestValidationError, answer_validation_error)
    app.add_middleware(RequestMiddleware, settings=settings, metrics=service.metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    return app


def error_response(
    request: Request, status: int, text: str, headers: dict[str, str] | None = None
) -> Response:
    """Build the response of an error."""
    request_id = request_context(request).request_id
    response = json_response({"error": text, "request_id": request_id})
    response.status_code = status
    response.headers.update(headers or {})
    return response


async def answer_request_error(request: Request, error: Exception) -> Response:
    """Answer a failed request with its status and message."""
    assert isinstance(error, RequestError)
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return error_response(request, error.status, str(error), headers)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Answer an unknown route, or a method that the route does not have."""
    assert isinstance(error, HTTPException)
    texts = {404: "no such route: see /docs", 405: "the route has other methods: see /docs"}
    text = texts.get(error.status_code, "the request cannot be answered: see /docs")
    return error_response(request, error.status_code, text, dict(error.headers or {}))


async def answer_validation_error(request: Request, error: Exception) -> Response:
    """Answer parameters of the wrong type or range, naming the first of them."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = ".".join(str(item) for item in first["loc"][1:])[:80]
    text = str(RequestError(422, f"{name}: {first['msg'][:200]}"))  # escapes invisible characters
    return error_response(request, 422, text)
