"""GET /metrics: the figures of the service, for whoever shows the token."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from slack_mcp.core.secret import Secret

SCHEME: Final = "bearer"


class MetricsPage:
    """The end point. It is on the port that the internet reaches, so that without a token nobody reads it.

    Args:
        collect: returns the figures as text.
        content_type: of that text.
        token: what has to be shown; None refuses everybody.
    """

    def __init__(self, collect: Callable[[], Awaitable[bytes]], *, content_type: str, token: Secret | None) -> None:
        self._collect = collect
        self._content_type = content_type
        self._token = token

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/metrics", self.get_metrics, methods=["GET"])]

    async def get_metrics(self, request: Request) -> Response:
        """200 with the figures, 401 without the token, 403 where there is none."""
        if self._token is None:
            message = "Set METRICS_TOKEN, and let Prometheus show it as a bearer token."
            return JSONResponse({"error": "forbidden", "message": message}, status_code=403)
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(shown.strip().encode("latin-1"), self._token.reveal().encode())
        if scheme.lower() != SCHEME or not is_right:
            return JSONResponse(
                {"error": "unauthenticated", "message": "This needs METRICS_TOKEN as a bearer token."},
                status_code=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
        return Response(await self._collect(), media_type=self._content_type, headers={"Cache-Control": "no-store"})
