"""Hugging Face's protocol for image segmentation: POST / with bytes, or with base64 in JSON.

`huggingface_hub.InferenceClient("http://127.0.0.1:8000").image_segmentation("street.jpg")` and the
widgets of the Hub use it.
"""

import base64
import binascii
from typing import Any

from fastapi import APIRouter, Request, Response

from unimask.serving.bodies import read_body
from unimask.serving.context import parse_threshold, predict, request_service
from unimask.serving.failures import RequestError
from unimask.serving.models import ServedModel
from unimask.serving.native import (
    JSON_TYPE,
    extract_image,
    json_response,
    parse_object,
    resolve_task,
)
from unimask.serving.responses import mask_png
from unimask.serving.schemas import ERRORS, HUGGINGFACE_BODY, HuggingFaceSegment
from unimask.serving.service import Answer, PredictionRequest

router = APIRouter(tags=["Hugging Face"])

FIXED_RULES = {"mask_threshold": 0.5}
"""Parameters that have a single value."""

BODY = {"requestBody": HUGGINGFACE_BODY}


@router.post("/", response_model=list[HuggingFaceSegment], responses=ERRORS, openapi_extra=BODY)
async def segment_default(request: Request) -> Response:
    """Segment one image with the first model; masks are base64 of black and white PNG."""
    return await segment(request, None)


@router.post(
    "/models/{model}",
    response_model=list[HuggingFaceSegment],
    responses=ERRORS,
    openapi_extra=BODY,
)
async def segment_named(request: Request, model: str) -> Response:
    """Segment one image with a model; masks are base64 of black and white PNG."""
    return await segment(request, model)


async def segment(request: Request, name: str | None) -> Response:
    """Segment one image."""
    service = request_service(request)
    model = service.find_model(name)
    service.check_open()
    settings = service.settings
    async with read_body(
        request, settings.max_upload_bytes, settings.timeout_s, service.uploads
    ) as body:
        content_type = request.headers.get("content-type", "")
        parameters: dict[str, Any] = {}
        if content_type.partition(";")[0].strip().lower() == JSON_TYPE:
            data, parameters = parse_inputs(body)
        else:
            data = await extract_image(service, content_type, body)
        answer = await predict(request, prediction_request(model, data, parameters))
    return json_response(await service.work(describe_segments, answer))


def parse_inputs(body: bytes) -> tuple[bytes, dict[str, Any]]:
    """Return image and parameters of a JSON body.

    Raises:
        RequestError: They are missing or malformed.
    """
    values = parse_object(body)
    inputs, parameters = values.get("inputs"), values.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise RequestError(422, "parameters: pass an object")
    return decode_base64(inputs, "inputs"), parameters


def decode_base64(value: object, name: str) -> bytes:
    """Decode base64, which may be a data URL.

    Raises:
        RequestError: It is none.
    """
    if not isinstance(value, str):
        raise RequestError(422, f"{name}: pass the image as base64")
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(422, f"{name}: pass the image as base64") from None


def prediction_request(
    model: ServedModel, data: bytes, parameters: dict[str, Any]
) -> PredictionRequest:
    """Build the request from Hugging Face's parameters.

    Raises:
        RequestError: A parameter is unknown or has a value that the model does not have.
    """
    overlap = model.predictor.description.postprocessing.overlap_threshold
    fixed = FIXED_RULES | {"overlap_mask_area_threshold": overlap}
    for name, value in parameters.items():
        if name in fixed and value not in (None, fixed[name]):
            raise RequestError(422, f"{name}: this model has {fixed[name]}; leave it out")
        if name not in fixed and name not in ("subtask", "threshold"):
            raise RequestError(422, f"unknown parameter {name[:80]!r}: leave it out")
    subtask = parameters.get("subtask")
    if subtask is not None and not isinstance(subtask, str):
        raise RequestError(422, "subtask: pass panoptic, instance or semantic")
    task = resolve_task(model, subtask)
    threshold = parse_threshold(parameters.get("threshold"))
    effective = model.default_threshold(task) if threshold is None else threshold
    return PredictionRequest(data, model, task, effective)


def describe_segments(answer: Answer) -> list[dict[str, object]]:
    """Return label, score and mask of each segment."""
    return [
        {
            "label": segment.label,
            "score": segment.score,
            "mask": base64.b64encode(mask_png(segment)).decode("ascii"),
        }
        for segment in answer.result.segments
    ]
