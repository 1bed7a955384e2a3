"""GET /temp-files/{id}: a file for whoever has its link, on any pod, until its time is over."""

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SlackMcpError
from slack_mcp.ports.attachments import TempFileStore
from slack_mcp.protocol.file_names import render_disposition
from slack_mcp.protocol.temp_links import PATH, is_link_valid
from slack_mcp.web.problems import get_status, render_problem

# Nothing else is given its own type: a page would be one of this service's own.
_TYPES: Final = frozenset(
    {
        "audio/aac",
        "audio/flac",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "audio/webm",
        "video/mp4",
    }
)
_ANY_TYPE: Final = "application/octet-stream"
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
}


class TempFilePages:
    """Gives out the files.

    Args:
        store: has them.
        keys: may have signed the links, see `protocol.temp_links`.
        clock: says which links are too old.
    """

    def __init__(self, *, store: TempFileStore, keys: Sequence[bytes], clock: Clock) -> None:
        self._store = store
        self._keys = tuple(keys)
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route(f"{PATH}{{file_id}}", self.get_file, methods=["GET"])]

    async def get_file(self, request: Request) -> Response:
        """200 with the bytes; 404 for everything else, so that nobody learns which part of a link is wrong."""
        file_id = request.path_params["file_id"]
        is_valid = is_link_valid(
            file_id,
            expires=request.query_params.get("expires", ""),
            signature=request.query_params.get("signature", ""),
            keys=self._keys,
            now_s=self._clock.now_s(),
        )
        try:
            file = await self._store.load_temp_file(file_id) if is_valid else None
        except SlackMcpError as error:
            return _refuse(get_status(error), render_problem(error))
        if file is None:
            return _refuse(404, b'{"error": "not_found"}')
        return Response(
            file.content,
            media_type=file.mimetype if file.mimetype in _TYPES else _ANY_TYPE,
            headers={**_HEADERS, "Content-Disposition": render_disposition(file.name)},
        )


def _refuse(status: int, body: bytes) -> Response:
    return Response(body, status_code=status, media_type="application/json", headers=_HEADERS)
