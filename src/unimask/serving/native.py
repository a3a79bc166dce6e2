"""Routes under /v1: predictions, and the models that are served."""

import time
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from unimask.errors import TaskError
from unimask.labels import Task
from unimask.serving.addresses import fetch_image
from unimask.serving.bodies import form_file, read_body
from unimask.serving.context import predict, request_context, request_service
from unimask.serving.failures import RequestError
from unimask.serving.models import ServedModel
from unimask.serving.responses import (
    MEDIA_TYPES,
    ResponseFormat,
    candidate_threshold,
    describe_result,
    encode_result,
)
from unimask.serving.schemas import ERRORS, IMAGE_BODY, ModelList, PredictionResponse
from unimask.serving.service import Answer, PredictionRequest, Service
from unimask.serving.uploads import media_types
from unimask.version import __version__

router = APIRouter(prefix="/v1", tags=["unimask"])

FORM, JSON_TYPE = "multipart/form-data", "application/json"
NO_IMAGES = ("text/", "multipart/")
"""Starts of content types that are refused; curl's default for data is accepted."""


@router.get("/models", response_model=ModelList, responses=ERRORS)
async def models(request: Request) -> Response:
    """Return the models, their tasks, classes and default thresholds, and the server's limits."""
    service = request_service(request)
    settings = service.settings
    return json_response(
        {
            "version": __version__,
            "models": [model.describe() for model in service.models.values()],
            "limits": {
                "max_upload_bytes": settings.max_upload_bytes,
                "max_pixels": settings.max_pixels,
                "timeout_s": settings.timeout_s,
            },
            "image_types": media_types(),
            "allow_urls": settings.allow_urls,
        }
    )


@router.post(
    "/predict",
    response_model=PredictionResponse,
    responses=ERRORS
    | {200: {"content": {kind: {} for kind in ("image/png", "application/geo+json")}}},
    openapi_extra={"requestBody": IMAGE_BODY},
)
async def predict_image(
    request: Request,
    model: Annotated[str | None, Query(description="Model; by default the first.")] = None,
    task: Annotated[
        Task | None, Query(description="Task; by default the model's most general.")
    ] = None,
    threshold: Annotated[
        float | None,
        Query(ge=0, le=1, description="Minimum score; by default the model's own."),
    ] = None,
    format: Annotated[
        ResponseFormat,
        Query(description="json, png (map of ids), overlay (PNG) or geojson (in pixels)."),
    ] = "json",
    candidates: Annotated[
        bool,
        Query(description="Instances down to a score of 0.05, in JSON, marked as not selected."),
    ] = False,
) -> Response:
    """Segment one image."""
    service = request_service(request)
    served = service.find_model(model)
    chosen = resolve_task(served, task)
    effective = served.default_threshold(chosen) if threshold is None else threshold
    lowest = candidate_threshold(chosen, effective) if candidates and format == "json" else None
    service.check_open()
    start = time.perf_counter()
    async with read_body(
        request,
        service.settings.max_upload_bytes,
        service.settings.timeout_s,
        service.uploads,
    ) as body:
        data = await extract_image(service, request.headers.get("content-type", ""), body)
        uploaded = time.perf_counter()
        prediction = PredictionRequest(
            data, served, chosen, effective if lowest is None else lowest
        )
        answer = await predict(request, prediction)
    service.metrics.observe_stages({"upload": 1000 * (uploaded - start)})
    answer.timings["total"] = 1000 * (time.perf_counter() - start)
    return await encode_answer(request, served, answer, format, effective, lowest)


async def encode_answer(
    request: Request,
    model: ServedModel,
    answer: Answer,
    format: ResponseFormat,
    threshold: float | None,
    lowest: float | None,
) -> Response:
    """Encode an answer in a worker thread."""
    service = request_service(request)
    start = time.perf_counter()
    if format == "json":
        request_id = request_context(request).request_id

        def encode() -> bytes:
            return msgspec.json.encode(
                describe_result(answer, model, request_id, threshold, lowest)
            )

        content = await service.work(encode)
    else:
        content = await service.work(encode_result, answer.result, format)
    service.metrics.observe_stages({"encode": 1000 * (time.perf_counter() - start)})
    return Response(content, media_type=MEDIA_TYPES[format])


def resolve_task(model: ServedModel, task: str | None) -> Task:
    """Return the task of a request, or the model's default.

    Raises:
        RequestError: The model was not trained for it.
    """
    try:
        return model.predictor.resolve_task(task)
    except TaskError:
        known = ", ".join(model.predictor.tasks)
        raise RequestError(422, f"{model.name} does not do this task; it does {known}") from None


async def extract_image(service: Service, content_type: str, body: bytes) -> bytes:
    """Return the encoded image of a body: the body itself, a form's file, or that of an address.

    Raises:
        RequestError: There is none, or the content type is not supported.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == FORM:
        return form_file(body, content_type)
    if kind == JSON_TYPE:
        address = parse_address(body, service.settings.allow_urls)
        settings = service.settings
        return await fetch_image(address, settings.max_upload_bytes, settings.timeout_s)
    if kind.startswith(NO_IMAGES):
        raise RequestError(415, "send the image's bytes, or a form (multipart/form-data)")
    return body


def parse_address(body: bytes, allow_urls: bool) -> str:
    """Parse the address of an image from JSON.

    Raises:
        RequestError: Addresses are not allowed, or there is none.
    """
    if not allow_urls:
        raise RequestError(
            415, "this server fetches no addresses (--allow-urls): send the image's bytes"
        )
    values = parse_object(body)
    address = values.get("url")
    if not isinstance(address, str):
        raise RequestError(422, 'the JSON needs an address: {"url": "https://..."}')
    return address


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        RequestError: It is none.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise RequestError(400, "the body is not a JSON object: check its syntax") from None


def json_response(values: object) -> Response:
    """Encode values as JSON."""
    return Response(msgspec.json.encode(values), media_type="application/json")
