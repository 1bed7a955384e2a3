"""The addresses that the Web API gives out for files: where their bytes go in and come out.

https://docs.slack.dev/messaging/working-with-files
"""

from collections.abc import AsyncIterator

import anyio
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from slack_mcp.simulator.artifacts import File, Upload
from slack_mcp.simulator.files import can_see
from slack_mcp.simulator.simulator import Simulator
from slack_mcp.simulator.workspace import Workspace

PIECE_BYTES = 16 * 1024
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in | Slack</title></head><body>Sign in to Simulated</body></html>"


def file_routes(simulator: Simulator) -> list[Route]:
    """Return the routes for uploads and downloads."""
    server = FileServer(simulator=simulator)
    return [
        Route("/upload/v1/{ticket}", server.upload, methods=["POST"]),
        Route("/files-pri/{key}/{path:path}", server.download, methods=["GET"]),
        Route("/lists-export/{team_id}/{list_id}/{job_id}", server.export, methods=["GET"]),
    ]


class FileServer:
    """The end points."""

    def __init__(self, *, simulator: Simulator) -> None:
        self._simulator = simulator

    async def upload(self, request: Request) -> Response:
        """Raw bytes or a form with one file, of the announced length, once → 200."""
        upload = self._find_upload(request.path_params["ticket"])
        if upload is None or upload.content is not None:
            return PlainTextResponse("no such upload", status_code=404)
        content = await _read_upload(request, upload.length)
        if content is None or len(content) != upload.length:
            return PlainTextResponse("not the announced length", status_code=400)
        upload.content = content
        return PlainTextResponse(f"OK - {len(content)}")

    async def download(self, request: Request) -> Response:
        """The bytes, for a token of the file's workspace with files:read; anybody else gets a login page, with 200."""
        found = self._find_file(request.path_params["key"])
        if found is None:
            return HTMLResponse(LOGIN_PAGE)
        workspace, file = found
        reader = _reader(request, workspace, "files:read")
        if reader is None or not can_see(workspace, file, reader) or file.is_login_page:
            return HTMLResponse(LOGIN_PAGE)
        if file.redirect_to is not None:
            return RedirectResponse(file.redirect_to, status_code=302)
        is_download = request.path_params["path"].startswith("download/")
        headers = {"content-type": file.served_type or file.mimetype}
        if is_download:
            headers["content-disposition"] = "attachment"
        if file.is_endless or file.pause_s:
            return StreamingResponse(_drip(file), headers=headers)
        return Response(file.content, headers=headers)

    async def export(self, request: Request) -> Response:
        """A list's export as CSV, for a token of its workspace with lists:read; otherwise a login page."""
        params = request.path_params
        workspace = self._simulator.workspaces.get(params["team_id"])
        if workspace is None or _reader(request, workspace, "lists:read") is None:
            return HTMLResponse(LOGIN_PAGE)
        found = workspace.shelf.lists.get(params["list_id"])
        content = found.jobs.get(params["job_id"]) if found is not None else None
        if content is None:
            return PlainTextResponse("no such export", status_code=404)
        return Response(content, headers={"content-type": "text/csv; charset=utf-8"})

    def _find_upload(self, ticket: str) -> Upload | None:
        for workspace in self._simulator.workspaces.values():
            for upload in workspace.shelf.uploads.values():
                if upload.ticket == ticket:
                    return upload
        return None

    def _find_file(self, key: str) -> tuple[Workspace, File] | None:
        team_id, _, file_id = key.partition("-")
        workspace = self._simulator.workspaces.get(team_id)
        file = workspace.shelf.files.get(file_id) if workspace is not None else None
        return None if workspace is None or file is None else (workspace, file)


async def _drip(file: File) -> AsyncIterator[bytes]:
    """Yield a file's content in pieces, as slowly and as often as the file says."""
    content = file.content
    if file.is_endless:
        content = (content or b"\0") * -(-PIECE_BYTES // max(1, len(content)))
    while True:
        for start in range(0, len(content), PIECE_BYTES):
            await anyio.sleep(file.pause_s)
            yield content[start : start + PIECE_BYTES]
        if not file.is_endless:
            return


def _reader(request: Request, workspace: Workspace, scope: str) -> str | None:
    """Return the user id of a token of this workspace with the scope; None for any other."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    actor = workspace.actor_of_token(token.strip()) if scheme.lower() == "bearer" else None
    if actor is None or actor.is_revoked or workspace.is_revoked or not actor.may(scope):
        return None
    return actor.user_id


async def _read_upload(request: Request, length: int) -> bytes | None:
    """Return what was sent; None for a form without a file or for more than `length` bytes."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form() as form:
            for _, value in form.multi_items():
                if isinstance(value, UploadFile):
                    return await value.read(length + 1)
        return None
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > length:
            return None
    return bytes(content)
