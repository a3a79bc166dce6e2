"""Health and metrics of the server."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from unimask.serving.context import request_service
from unimask.serving.failures import RequestError

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Return that the process answers."""
    return {"status": "live"}


@router.get("/health/ready")
async def ready(request: Request, response: Response) -> dict[str, str]:
    """Return whether requests are accepted: status 503 before the warm-up and after SIGTERM."""
    state = request_service(request).state
    if state != "ready":
        response.status_code = 503
    return {"status": state}


@router.get("/v2/health/live")
async def live_v2() -> dict[str, bool]:
    """Return that the process answers."""
    return {"live": True}


@router.get("/v2/health/ready")
async def ready_v2(request: Request) -> dict[str, bool]:
    """Return whether requests are accepted; status 503 if they are not."""
    if request_service(request).state != "ready":
        raise RequestError(503, "the server is not ready: try again later", retry_after=5)
    return {"ready": True}


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Return metrics in Prometheus' format."""
    content = request_service(request).metrics.export()
    return Response(content, headers={"content-type": CONTENT_TYPE_LATEST})
