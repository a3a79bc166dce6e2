"""Context of a request: the service, its id, and what the access log reports."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
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
    """Segment an image for a client that is still connected, and log it; see `predict_all`."""
    return (await predict_all(request, [prediction]))[0]


async def predict_all(request: Request, predictions: Sequence[PredictionRequest]) -> list[Answer]:
    """Segment images for a client that is still connected; the log describes the first.

    Raises:
        RequestError: See `Service.predict`.
    """
    service, context = request_service(request), request_context(request)
    first = predictions[0]
    context.log |= {"model": first.model.name, "task": first.task, "images": len(predictions)}
    answers = await while_connected(request.receive, gather_all(map(service.predict, predictions)))
    context.log |= {
        "size": list(answers[0].result.size),
        "segments": len(answers[0].result),
        "batch": answers[0].batch_size,
        "stages": {stage: round(ms, 1) for stage, ms in answers[0].timings.items()},
    }
    for answer in answers:
        service.metrics.observe_stages(answer.timings)
    return answers


async def gather_all(work: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """Await all answers at the same time, and cancel the others if one fails."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


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
