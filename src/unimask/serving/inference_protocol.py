"""Open Inference Protocol v2, as KServe and Triton have it, with images as BYTES.

Input: `image`, shape (n), each element an encoded image: base64 in JSON, or raw bytes in Triton's
binary extension. Outputs: `result`, the JSON of /v1/predict per image, and on request `id_map`, a
PNG per image.
"""

import base64
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from unimask.serving.bodies import read_body
from unimask.serving.context import parse_threshold, predict_all, request_context, request_service
from unimask.serving.failures import RequestError
from unimask.serving.huggingface import decode_base64
from unimask.serving.models import ServedModel
from unimask.serving.native import json_response, resolve_task
from unimask.serving.responses import describe_result, encode_result
from unimask.serving.schemas import ERRORS, INFER_BODY
from unimask.serving.service import Answer, PredictionRequest
from unimask.version import __version__

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol v2"])

INPUT, RESULT, ID_MAP = "image", "result", "id_map"
VERSION = "1"
MAX_IMAGES = 16
"""Largest number of images per request."""

HEADER_LENGTH = "inference-header-content-length"
"""Header with the length of the JSON before binary data."""


class TensorRequest(msgspec.Struct):
    """Input of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class OutputRequest(msgspec.Struct):
    """Requested output."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    """JSON of a request."""

    inputs: list[TensorRequest]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[OutputRequest] = []


@router.get("")
async def server_metadata() -> dict[str, object]:
    """Return name and version of the server."""
    return {"name": "unimask", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/models/{model}", responses=ERRORS)
@router.get("/models/{model}/versions/{version}", responses=ERRORS)
async def model_metadata(request: Request, model: str, version: str = VERSION) -> dict[str, Any]:
    """Return inputs and outputs of a model."""
    served = find_version(request, model, version)
    outputs = [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in (RESULT, ID_MAP)]
    return {
        "name": served.name,
        "versions": [VERSION],
        "platform": f"unimask_{served.runtime}",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": outputs,
    }


@router.get("/models/{model}/ready", responses=ERRORS)
@router.get("/models/{model}/versions/{version}/ready", responses=ERRORS)
async def model_ready(request: Request, model: str, version: str = VERSION) -> dict[str, object]:
    """Return whether a model accepts requests; status 503 if it does not."""
    served = find_version(request, model, version)
    if request_service(request).state != "ready":
        raise RequestError(503, "the server is not ready: try again later", retry_after=5)
    return {"name": served.name, "ready": True}


@router.post("/models/{model}/infer", responses=ERRORS, openapi_extra={"requestBody": INFER_BODY})
@router.post(
    "/models/{model}/versions/{version}/infer",
    responses=ERRORS,
    openapi_extra={"requestBody": INFER_BODY},
)
async def infer(request: Request, model: str, version: str = VERSION) -> Response:
    """Segment images."""
    service = request_service(request)
    served = find_version(request, model, version)
    service.check_open()
    settings = service.settings
    async with read_body(
        request, settings.max_upload_bytes, settings.timeout_s, service.uploads
    ) as body:
        inference, binary = parse_request(body, request.headers.get(HEADER_LENGTH))
        images = parse_images(inference, binary)
        task = resolve_task(served, inference.parameters.get("task"))
        threshold = parse_threshold(inference.parameters.get("threshold"))
        if threshold is None:
            threshold = served.default_threshold(task)
        requests = [PredictionRequest(data, served, task, threshold) for data in images]
        answers = await predict_all(request, requests)
    outputs = await service.work(
        encode_outputs, inference, served, answers, threshold, request_context(request).request_id
    )
    return infer_response(inference, served, outputs)


def find_version(request: Request, model: str, version: str) -> ServedModel:
    """Return a model by name and version.

    Raises:
        RequestError: There is none.
    """
    served = request_service(request).find_model(model)
    if version != VERSION:
        raise RequestError(404, f"{served.name} has version {VERSION} only")
    return served


def parse_request(body: bytes, header_length: str | None) -> tuple[InferRequest, bytes]:
    """Return the JSON of a body, and the binary data after it.

    Raises:
        RequestError: The body is malformed.
    """
    length = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 18):
            raise RequestError(400, "Inference-Header-Content-Length: pass a number of bytes")
        length = int(header_length)
    if length > len(body):
        raise RequestError(400, "Inference-Header-Content-Length exceeds the body")
    try:
        return msgspec.json.decode(body[:length], type=InferRequest), body[length:]
    except msgspec.ValidationError as error:
        raise RequestError(422, f"the JSON of the request does not fit: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise RequestError(400, "the body is not a JSON object: check its syntax") from None


def parse_images(inference: InferRequest, binary: bytes) -> list[bytes]:
    """Return the encoded images of a request.

    Raises:
        RequestError: The input has another name, type or shape, or its data do not fit.
    """
    if len(inference.inputs) != 1 or inference.inputs[0].name != INPUT:
        raise RequestError(422, f"pass one input named {INPUT}")
    tensor = inference.inputs[0]
    if tensor.datatype != "BYTES":
        raise RequestError(422, f"{INPUT}: pass datatype BYTES, encoded images")
    count = tensor.shape[0] if tensor.shape else 0
    if tensor.shape not in ([count], [count, 1]) or not 1 <= count <= MAX_IMAGES:
        raise RequestError(422, f"{INPUT}: pass shape [n] with 1 to {MAX_IMAGES} images")
    if tensor.data is not None:
        elements = [item[0] if isinstance(item, list) and item else item for item in tensor.data]
        images = [decode_base64(element, INPUT) for element in elements]
    elif tensor.parameters.get("binary_data_size") == len(binary):
        images = split_binary(binary)
    else:
        raise RequestError(422, f"{INPUT}: pass data, or binary_data_size and as many bytes")
    if len(images) != count:
        raise RequestError(422, f"{INPUT}: shape says {count} images, data has {len(images)}")
    return images


def split_binary(binary: bytes) -> list[bytes]:
    """Split BYTES elements, each after its length as 4 bytes, little endian.

    Raises:
        RequestError: A length exceeds the data.
    """
    elements, place = [], 0
    while place < len(binary) and len(elements) <= MAX_IMAGES:
        length = int.from_bytes(binary[place : place + 4], "little")
        if place + 4 + length > len(binary):
            raise RequestError(422, f"{INPUT}: an element is longer than the data")
        elements.append(binary[place + 4 : place + 4 + length])
        place += 4 + length
    return elements


def encode_outputs(
    inference: InferRequest,
    model: ServedModel,
    answers: Sequence[Answer],
    threshold: float | None,
    request_id: str,
) -> dict[str, list[bytes]]:
    """Return the elements of each requested output.

    Raises:
        RequestError: An output is unknown.
    """
    names = [output.name for output in inference.outputs] or [RESULT]
    outputs: dict[str, list[bytes]] = {}
    for name in names:
        if name == RESULT:
            described = (describe_result(a, model, request_id, threshold) for a in answers)
            outputs[name] = [msgspec.json.encode(values) for values in described]
        elif name == ID_MAP:
            outputs[name] = [encode_result(answer.result, "png") for answer in answers]
        else:
            raise RequestError(422, f"unknown output {name[:80]!r}: {RESULT} or {ID_MAP}")
    return outputs


def infer_response(
    inference: InferRequest, model: ServedModel, outputs: dict[str, list[bytes]]
) -> Response:
    """Build the response: JSON, followed by the outputs that are requested as binary data."""
    all_binary = inference.parameters.get("binary_data_output") is True
    are_binary = {
        output.name: output.parameters.get("binary_data", all_binary) is True
        for output in inference.outputs
    }
    described, tail = [], b""
    for name, elements in outputs.items():
        entry: dict[str, Any] = {"name": name, "datatype": "BYTES", "shape": [len(elements)]}
        if are_binary.get(name, all_binary):
            data = b"".join(struct.pack("<I", len(item)) + item for item in elements)
            entry["parameters"] = {"binary_data_size": len(data)}
            tail += data
        elif name == RESULT:
            entry["data"] = [item.decode() for item in elements]
        else:
            entry["data"] = [base64.b64encode(item).decode("ascii") for item in elements]
        described.append(entry)
    values: dict[str, Any] = {"model_name": model.name, "model_version": VERSION}
    if inference.id is not None:
        values["id"] = inference.id
    values["outputs"] = described
    if not tail:
        return json_response(values)
    text = msgspec.json.encode(values)
    headers = {HEADER_LENGTH: str(len(text))}
    return Response(text + tail, headers=headers, media_type="application/octet-stream")
