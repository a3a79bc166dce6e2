"""Context of a request: the service, its id, and what the access log reports."""

from dataclasses import dataclass, field
from typing import cast

from fastapi import Request

from unimask.serving.failures import RequestError
from unimask.serving.service import Answer, PredictionRequest, Service, while_connected

CONTEXT_KEY = "unimask_context"


@dataclass
class RequestContext:
    """What belongs to one request.

    Attributes:
        request_id: Id that client and server log.
        log: Further values for the access log.
    """

    request_id: str
    log: dict[str, object] = field(default_factory=dict)


def request_context(request: Request) -> RequestContext:
    """Return the context that the middleware has created."""
    return cast(RequestContext, request.scope[CONTEXT_KEY])


def request_service(request: Request) -> Service:
    """Return the service of the application."""
    return cast(Service, request.app.state.service)


async def predict(request: Request, prediction: PredictionRequest) -> Answer:
    """Segment an image for a client that is still connected, and log it.

    Raises:
        RequestError: See `Service.predict`.
    """
    service, context = request_service(request), request_context(request)
    context.log |= {"model": prediction.model.name, "task": prediction.task}
    answer = await while_connected(request.receive, service.predict(prediction))
    context.log |= {
        "size": list(answer.result.size),
        "segments": len(answer.result),
        "batch": answer.batch_size,
        "stages": {stage: round(ms, 1) for stage, ms in answer.timings.items()},
    }
    service.metrics.observe_stages(answer.timings)
    return answer


def parse_threshold(value: object) -> float | None:
    """Parse a threshold from JSON.

    Raises:
        RequestError: It is not a number from 0 to 1.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise RequestError(422, "threshold: pass a number from 0 to 1")
    return float(value)
