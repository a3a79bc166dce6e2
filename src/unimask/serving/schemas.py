"""Schemas of requests and responses for the OpenAPI description."""

from typing import Any

from pydantic import BaseModel

from unimask.labels import Task


class ErrorResponse(BaseModel):
    """Error in one line."""

    error: str
    request_id: str


class RunLengthSchema(BaseModel):
    """Mask as COCO's compressed run lengths."""

    size: tuple[int, int]
    counts: str


class SegmentSchema(BaseModel):
    """Segment of an image; the box is x0, y0, x1, y1 in pixels."""

    id: int
    label: str
    label_id: int
    category_id: int
    is_thing: bool
    score: float | None
    selected: bool
    colour: str
    area: int
    box: tuple[float, float, float, float]
    rle: RunLengthSchema


class PredictionResponse(BaseModel):
    """Segments of an image of `size` (height, width); times in milliseconds."""

    request_id: str
    model: str
    version: str
    task: Task
    size: tuple[int, int]
    threshold: float | None
    threshold_filterable: bool
    candidate_threshold: float | None
    segments: list[SegmentSchema]
    timings: dict[str, float]
    batch_size: int


class ClassSchema(BaseModel):
    """Class of a model."""

    id: int
    label: str
    category_id: int
    is_thing: bool
    colour: str


class ModelSchema(BaseModel):
    """Model of the server; thresholds by task are those of requests without one."""

    name: str
    tasks: list[Task]
    default_task: Task
    thresholds: dict[str, float | None]
    classes: list[ClassSchema]
    runtime: str
    device: str


class LimitsSchema(BaseModel):
    """Limits of requests."""

    max_upload_bytes: int
    max_pixels: int
    timeout_s: float


class ModelList(BaseModel):
    """Models, the first being the default, and the server's limits."""

    version: str
    models: list[ModelSchema]
    limits: LimitsSchema
    image_types: list[str]
    allow_urls: bool


DESCRIPTIONS = {
    400: "Malformed request",
    401: "Missing or wrong token",
    404: "Unknown model",
    408: "Upload too slow",
    413: "Too many bytes or pixels",
    415: "Unsupported content type",
    422: "Unusable image or parameter",
    503: "Queue full, loading or shutting down; see Retry-After",
    504: "No answer in time",
}

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": text} for status, text in DESCRIPTIONS.items()
}

BINARY = {"schema": {"type": "string", "format": "binary"}}
IMAGE_BODY: dict[str, Any] = {
    "required": True,
    "description": "The image's bytes, or a form with one file.",
    "content": {
        "image/*": BINARY,
        "application/octet-stream": BINARY,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}},
            }
        },
    },
}

TEXT_OR_IMAGE = {
    "image/*": BINARY,
    "application/octet-stream": BINARY,
}
HUGGINGFACE_BODY: dict[str, Any] = {
    "required": True,
    "description": "The image's bytes, or the image as base64 with parameters.",
    "content": TEXT_OR_IMAGE
    | {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "inputs": {"type": "string", "format": "byte"},
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "subtask": {"enum": ["panoptic", "instance", "semantic"]},
                            "threshold": {"type": "number", "minimum": 0, "maximum": 1},
                        },
                    },
                },
            }
        }
    },
}


class HuggingFaceSegment(BaseModel):
    """Segment; the mask is base64 of a black and white PNG."""

    label: str
    score: float | None
    mask: str


INFER_BODY: dict[str, Any] = {
    "required": True,
    "description": "Images as BYTES: base64 in `data`, or raw after the JSON (binary extension).",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "id": {"type": "string"},
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "task": {"enum": ["panoptic", "instance", "semantic"]},
                            "threshold": {"type": "number", "minimum": 0, "maximum": 1},
                        },
                    },
                    "inputs": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["name", "shape", "datatype"],
                            "properties": {
                                "name": {"const": "image"},
                                "datatype": {"const": "BYTES"},
                                "shape": {"type": "array", "items": {"type": "integer"}},
                                "data": {"type": "array", "items": {"type": "string"}},
                                "parameters": {"type": "object"},
                            },
                        },
                    },
                    "outputs": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {
                                "name": {"enum": ["result", "id_map"]},
                                "parameters": {"type": "object"},
                            },
                        },
                    },
                },
            }
        }
    },
}
